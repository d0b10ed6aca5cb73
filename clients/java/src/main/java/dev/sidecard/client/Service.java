package dev.sidecard.client;

import com.google.protobuf.Message;
import dev.sidecard.v1.CountTokensRequest;
import dev.sidecard.v1.CountTokensResponse;
import dev.sidecard.v1.GenerateRequest;
import dev.sidecard.v1.GenerateResponse;
import dev.sidecard.v1.StreamGenerateResponse;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.protobuf.ProtoUtils;

/** The contract's methods, as grpc-java calls them. */
final class Service {
  static final String NAME = "sidecard.v1.GenerationService";

  static final MethodDescriptor<GenerateRequest, GenerateResponse> GENERATE =
      method(
          "Generate",
          MethodType.UNARY,
          GenerateRequest.getDefaultInstance(),
          GenerateResponse.getDefaultInstance());

  static final MethodDescriptor<GenerateRequest, StreamGenerateResponse> STREAM_GENERATE =
      method(
          "StreamGenerate",
          MethodType.SERVER_STREAMING,
          GenerateRequest.getDefaultInstance(),
          StreamGenerateResponse.getDefaultInstance());

  static final MethodDescriptor<CountTokensRequest, CountTokensResponse> COUNT_TOKENS =
      method(
          "CountTokens",
          MethodType.UNARY,
          CountTokensRequest.getDefaultInstance(),
          CountTokensResponse.getDefaultInstance());

  private Service() {}

  private static <I extends Message, O extends Message> MethodDescriptor<I, O> method(
      String name, MethodType type, I request, O response) {
    return MethodDescriptor.<I, O>newBuilder()
        .setType(type)
        .setFullMethodName(MethodDescriptor.generateFullMethodName(NAME, name))
        .setRequestMarshaller(ProtoUtils.marshaller(request))
        .setResponseMarshaller(ProtoUtils.marshaller(response))
        .build();
  }
}
