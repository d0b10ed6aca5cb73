//! The answer to one call as it comes.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use tokio::time::Sleep;
use tonic::{Status, Streaming};

use crate::{
    error::Error,
    progress::Progress,
    v1::{GenerateResponse, StreamEvent, StreamGenerateResponse},
};

type Messages = Streaming<StreamGenerateResponse>;
type Beginning = Pin<Box<dyn Future<Output = Result<(Messages, Option<Deadline>), Error>> + Send>>;
type Deadline = Pin<Box<Sleep>>;
type Meaning = Box<dyn Fn(&Status) -> Error + Send + Sync>;

enum State {
    Beginning(Beginning),
    Reading(Box<Messages>, Option<Deadline>),
    Ended(Result<Box<GenerateResponse>, Error>),
}

/// Events in order. One that just ends has had a whole answer; anything else is an [`Error`].
///
/// Nothing is sent before the first event is asked for, and dropping it cancels the call.
pub struct EventStream {
    state: State,
    pending: VecDeque<StreamEvent>,
    progress: Progress,
    last: Option<GenerateResponse>,
    request_id: String,
    meaning: Meaning,
}

impl EventStream {
    pub(crate) fn new(request_id: String, meaning: Meaning, beginning: Beginning) -> Self {
        Self {
            state: State::Beginning(beginning),
            pending: VecDeque::new(),
            progress: Progress::default(),
            last: None,
            request_id,
            meaning,
        }
    }

    /// The next event; `None` after a whole answer. It is safe to cancel.
    pub async fn next(&mut self) -> Option<Result<StreamEvent, Error>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The next piece of text. After a `restarted` event, which [`next`](Self::next) shows,
    /// it begins anew.
    pub async fn next_text(&mut self) -> Option<Result<String, Error>> {
        use crate::v1::stream_event::Event;
        loop {
            match self.next().await? {
                Ok(StreamEvent { event: Some(Event::TextDelta(piece)), .. }) => {
                    return Some(Ok(piece));
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// All text that came so far; an answer only where [`response`](Self::response) has one.
    pub fn text(&self) -> String {
        self.progress.text()
    }

    /// The whole answer, as `generate` gives it, once the stream was read to its end;
    /// what it failed with, if it did; `None` before.
    pub fn response(&self) -> Option<Result<&GenerateResponse, Error>> {
        match &self.state {
            State::Ended(Ok(response)) => Some(Ok(response)),
            State::Ended(Err(error)) => Some(Err(error.clone())),
            _ => None,
        }
    }

    fn receive(&mut self, message: StreamGenerateResponse) {
        for event in &message.events {
            self.progress.fold(event);
        }
        self.pending.extend(message.events);
        self.last = message.response.or(self.last.take());
    }

    /// gRPC's OK: a whole answer only after the last message.
    fn end(&mut self) -> Option<Error> {
        match self.last.take() {
            Some(last) => {
                self.state = State::Ended(Ok(Box::new(self.progress.whole(last))));
                None
            }
            None => Some(self.fail(Error::cut_off(&self.request_id))),
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        let error = error.with_partial_text(self.text());
        self.state = State::Ended(Err(error.clone()));
        error
    }
}

impl Stream for EventStream {
    type Item = Result<StreamEvent, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(event) = this.pending.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            let failed = match &mut this.state {
                State::Ended(_) => return Poll::Ready(None),
                State::Beginning(begin) => match ready!(begin.as_mut().poll(context)) {
                    Ok((messages, deadline)) => {
                        this.state = State::Reading(Box::new(messages), deadline);
                        None
                    }
                    Err(error) => Some(this.fail(error)),
                },
                State::Reading(messages, deadline) => {
                    match Pin::new(messages.as_mut()).poll_next(context) {
                        Poll::Ready(Some(Ok(message))) => {
                            this.receive(message);
                            None
                        }
                        Poll::Ready(Some(Err(status))) => {
                            let error = (this.meaning)(&status);
                            Some(this.fail(error))
                        }
                        Poll::Ready(None) => this.end(),
                        Poll::Pending => {
                            let Some(deadline) = deadline else { return Poll::Pending };
                            ready!(deadline.as_mut().poll(context));
                            Some(this.fail(Error::late(&this.request_id)))
                        }
                    }
                }
            };
            if let Some(error) = failed {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}
