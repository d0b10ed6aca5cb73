package dev.sidecard.client;

import dev.sidecard.v1.GenerateResponse;
import dev.sidecard.v1.StreamEvent;
import dev.sidecard.v1.StreamGenerateResponse;
import io.grpc.StatusRuntimeException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.CancellationException;
import java.util.function.Supplier;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * The answer to one call as it comes: events in order, each waited for. To be read once, by one
 * thread; {@link #close} may be called by any.
 *
 * <p>Nothing is sent before the first event is asked for. A loop that just ends has had a whole
 * answer; anything else throws a {@link SidecardException}.
 */
public final class SidecardStream implements Iterable<StreamEvent>, AutoCloseable {
  private final Call call;
  private final Supplier<Iterator<StreamGenerateResponse>> begin;
  private final Progress progress = new Progress();
  private final Deque<StreamEvent> pending = new ArrayDeque<>();
  private Iterator<StreamGenerateResponse> messages;
  private GenerateResponse last;
  private GenerateResponse response;
  private RuntimeException failure =
      new IllegalStateException("the stream was not read to its end");
  private boolean iterated;
  private boolean failed;
  private volatile boolean closed;

  SidecardStream(Call call, Supplier<Iterator<StreamGenerateResponse>> begin) {
    this.call = call;
    this.begin = begin;
  }

  @Override
  public Iterator<StreamEvent> iterator() {
    if (iterated) {
      throw new IllegalStateException("the stream has been read already");
    }
    iterated = true;
    return new Events();
  }

  /**
   * The text alone, piece by piece. After a {@code restarted} event, which the events show, it
   * begins anew.
   */
  public Stream<String> pieces() {
    return StreamSupport.stream(spliterator(), false)
        .map(StreamEvent::getTextDelta)
        .filter(piece -> !piece.isEmpty());
  }

  /** All text that came so far; an answer only where {@link #response} has one. */
  public String text() {
    return progress.text();
  }

  /** The whole answer, as {@code generate} gives it; throws what the stream failed with. */
  public GenerateResponse response() {
    if (response == null) {
      throw failure;
    }
    return response;
  }

  /** Leaves: the call is cancelled at once. A stream that has ended stays as it ended. */
  @Override
  public void close() {
    closed = true;
    call.cancel();
  }

  private final class Events implements Iterator<StreamEvent> {
    @Override
    public boolean hasNext() {
      while (pending.isEmpty() && response == null) {
        if (failed) {
          throw failure;
        }
        receive();
      }
      return !pending.isEmpty();
    }

    @Override
    public StreamEvent next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      return pending.remove();
    }
  }

  private void receive() {
    try {
      if (closed) {
        throw new CancellationException("the stream was closed");
      }
      if (messages == null) {
        messages = begin.get();
      }
      if (messages.hasNext()) {
        take(messages.next());
      } else if (last == null) {
        throw Failure.cutOff(call.requestId(), text());
      } else {
        response = progress.whole(last);
      }
    } catch (StatusRuntimeException error) {
      boolean left = closed || Thread.currentThread().isInterrupted();
      throw remember(left ? cancelled(error) : call.failure(error, text()));
    } catch (SidecardException | CancellationException error) {
      throw remember(error);
    }
  }

  private void take(StreamGenerateResponse message) {
    for (StreamEvent event : message.getEventsList()) {
      progress.fold(event);
      pending.add(event);
    }
    if (message.hasResponse()) {
      last = message.getResponse();
    }
  }

  private static RuntimeException cancelled(StatusRuntimeException error) {
    CancellationException left =
        new CancellationException("the stream was closed, or its reader interrupted");
    left.initCause(error);
    return left;
  }

  private RuntimeException remember(RuntimeException error) {
    failure = error;
    failed = true;
    return error;
  }
}
