//! The client: what it is told once, and its calls.

use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    endpoint::{InvalidSetting, SOCKET, endpoint},
    error::Error,
    stream::EventStream,
    tls::Tls,
    v1::{
        CountTokensRequest, GenerateRequest, GenerateResponse,
        generation_service_client::GenerationServiceClient,
    },
};

/// Where the daemon serves unless it is told otherwise.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7411";

/// What is longer is no limit.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3_600);

const LOOK: Duration = Duration::from_millis(50);

type Stub = GenerationServiceClient<Channel>;

/// Calls the daemon over one connection, which it opens at its first call.
///
/// Clones share the connection, and so does what `with_…` returns, in which one setting differs.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    timeout: Option<Duration>,
    wait_for_ready: Duration,
    tenant: String,
    request_id: String,
    token: Token,
}

/// Shown to the daemon, and in no `Debug`.
#[derive(Clone)]
struct Token(String);

impl Token {
    /// A file that holds it ends in a newline.
    fn of(text: &str) -> Self {
        Self(text.trim().into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "…" })
    }
}

#[derive(Debug)]
struct Shared {
    address: String,
    endpoint: Endpoint,
    stub: OnceLock<Stub>,
    ready: AtomicBool,
}

impl Client {
    /// The client of the daemon at `$SIDECARD_ADDRESS`, or else at [`DEFAULT_ADDRESS`].
    pub fn new() -> Result<Self, InvalidSetting> {
        let address = std::env::var("SIDECARD_ADDRESS").unwrap_or_default();
        Self::at(if address.is_empty() { DEFAULT_ADDRESS } else { &address })
    }

    /// The client of the daemon at `host:port` or `unix:///path`.
    ///
    /// A `host:port` is encrypted as [`Tls::from_environment`] says, or else not at all.
    pub fn at(address: &str) -> Result<Self, InvalidSetting> {
        let tls = Tls::from_environment().filter(|_| !address.starts_with(SOCKET));
        Self::over(address, tls.as_ref())
    }

    /// The client of the daemon with `listen.tls` at `host:port`.
    pub fn encrypted(address: &str, tls: &Tls) -> Result<Self, InvalidSetting> {
        Self::over(address, Some(tls))
    }

    fn over(address: &str, tls: Option<&Tls>) -> Result<Self, InvalidSetting> {
        let endpoint = endpoint(address, tls)?;
        let (address, ready) = (address.to_owned(), AtomicBool::new(false));
        Ok(Self {
            shared: Arc::new(Shared { address, endpoint, stub: OnceLock::new(), ready }),
            timeout: None,
            wait_for_ready: Duration::ZERO,
            tenant: String::new(),
            request_id: String::new(),
            token: Token::of(&std::env::var("SIDECARD_TOKEN").unwrap_or_default()),
        })
    }

    /// Calls take at most so long. Without it, the daemon's own limit holds.
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout).filter(|given| *given < LONGEST), ..self.clone() }
    }

    /// Calls that don't say are for this tenant. Without it, for the daemon's `default`.
    pub fn with_tenant(&self, tenant: impl Into<String>) -> Self {
        Self { tenant: tenant.into(), ..self.clone() }
    }

    /// Calls carry this id: 1 to 128 of a-z, A-Z, 0-9 and ._:/+=@-.
    /// Without it, each has one made.
    pub fn with_request_id(&self, request_id: impl Into<String>) -> Self {
        Self { request_id: request_id.into(), ..self.clone() }
    }

    /// Calls show this token to a daemon that wants one, without the blanks around it.
    /// Without it, `$SIDECARD_TOKEN`.
    pub fn with_token(&self, token: impl AsRef<str>) -> Self {
        Self { token: Token::of(token.as_ref()), ..self.clone() }
    }

    /// The connection's first call waits so long for a daemon that is still starting,
    /// in addition to its timeout. Without it, not at all.
    pub fn with_wait_for_ready(&self, wait: Duration) -> Self {
        Self { wait_for_ready: wait.min(LONGEST), ..self.clone() }
    }

    /// The whole answer. Dropping the future cancels the call.
    pub async fn generate(
        &self,
        request: impl Into<GenerateRequest>,
    ) -> Result<GenerateResponse, Error> {
        let (call, request) = self.call(request.into());
        call.send(request, async |mut stub: Stub, request| stub.generate(request).await).await
    }

    /// How many tokens of input the request has. Fails as [`generate`](Self::generate) does.
    pub async fn count_tokens(&self, request: impl Into<GenerateRequest>) -> Result<i64, Error> {
        let (call, request) = self.call(request.into());
        let wrapped = CountTokensRequest { request: Some(request) };
        let send = async |mut stub: Stub, request| stub.count_tokens(request).await;
        Ok(call.send(wrapped, send).await?.input_tokens)
    }

    /// The answer as it comes. Nothing is sent before the first event is asked for.
    pub fn stream(&self, request: impl Into<GenerateRequest>) -> EventStream {
        let (call, request) = self.call(request.into());
        let (request_id, telling) = (call.request_id.clone(), call.clone());
        let begin = async move {
            let (mut stub, deadline) = call.begin().await?;
            let request = call.request(request)?;
            let sent = call.by(deadline, stub.stream_generate(request)).await?;
            Ok((sent.into_inner(), deadline.map(|moment| Box::pin(sleep_until(moment)))))
        };
        EventStream::new(
            request_id,
            Box::new(move |status| telling.failure(status)),
            Box::pin(begin),
        )
    }

    fn call(&self, mut request: GenerateRequest) -> (Call, GenerateRequest) {
        if request.tenant.is_empty() {
            request.tenant.clone_from(&self.tenant);
        }
        let request_id = if self.request_id.is_empty() {
            format!("{:016x}", RandomState::new().build_hasher().finish())
        } else {
            self.request_id.clone()
        };
        let Self { shared, timeout, wait_for_ready, .. } = self;
        let (shared, timeout, wait_for_ready) = (shared.clone(), *timeout, *wait_for_ready);
        (Call { shared, request_id, token: self.token.clone(), timeout, wait_for_ready }, request)
    }
}

/// What one call goes by.
#[derive(Debug, Clone)]
struct Call {
    shared: Arc<Shared>,
    request_id: String,
    token: Token,
    timeout: Option<Duration>,
    wait_for_ready: Duration,
}

impl Call {
    /// Sends a unary request, and waits for its answer no longer than the call may take.
    async fn send<I, O>(
        &self,
        message: I,
        send: impl AsyncFnOnce(Stub, Request<I>) -> Result<Response<O>, Status>,
    ) -> Result<O, Error> {
        let (stub, deadline) = self.begin().await?;
        let request = self.request(message)?;
        Ok(self.by(deadline, send(stub, request)).await?.into_inner())
    }

    /// Waits for the daemon if it is to, and returns the stub and the call's deadline.
    async fn begin(&self) -> Result<(Stub, Option<Instant>), Error> {
        let shared = &self.shared;
        if !self.wait_for_ready.is_zero() && !shared.ready.load(Ordering::Relaxed) {
            let until = Instant::now() + self.wait_for_ready;
            while !matches!(timeout_at(until, shared.endpoint.connect()).await, Ok(Ok(_))) {
                if Instant::now() >= until {
                    let waited = format!("waited {} s", self.wait_for_ready.as_secs_f64());
                    return Err(Error::absent(&shared.address, &self.request_id, &waited));
                }
                sleep(LOOK).await;
            }
            shared.ready.store(true, Ordering::Relaxed);
        }
        // The daemon has the limits of size, and names the field that is over one.
        let stub = shared.stub.get_or_init(|| {
            GenerationServiceClient::new(shared.endpoint.connect_lazy())
                .max_decoding_message_size(usize::MAX)
                .max_encoding_message_size(usize::MAX)
        });
        Ok((stub.clone(), self.timeout.map(|timeout| Instant::now() + timeout)))
    }

    fn request<I>(&self, message: I) -> Result<Request<I>, Error> {
        let mut request = Request::new(message);
        let header = |field: &str, text: &str| {
            let why = "has characters that no header can hold";
            let plain = text.chars().all(|c| matches!(c, ' '..='~')).then(|| text.parse().ok());
            plain.flatten().ok_or_else(|| Error::invalid(&self.request_id, field, why))
        };
        request.metadata_mut().insert("x-request-id", header("request_id", &self.request_id)?);
        if !self.token.0.is_empty() {
            let shown = header("token", &format!("Bearer {}", self.token.0))?;
            request.metadata_mut().insert("authorization", shown);
        }
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        Ok(request)
    }

    async fn by<T>(
        &self,
        deadline: Option<Instant>,
        sent: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Error> {
        let answered = match deadline {
            Some(moment) => match timeout_at(moment, sent).await {
                Ok(answered) => answered,
                Err(_) => return Err(Error::late(&self.request_id)),
            },
            None => sent.await,
        };
        answered.map_err(|status| {
            // tonic's own timer, which it sets for the same moment, says that it is cancelled.
            let late = deadline.is_some_and(|moment| Instant::now() >= moment);
            match status.code() {
                Code::Cancelled if late => Error::late(&self.request_id),
                _ => self.failure(&status),
            }
        })
    }

    fn failure(&self, status: &Status) -> Error {
        Error::of(status, &self.shared.address, &self.request_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reason;

    #[test]
    fn a_setting_holds_for_what_with_returned_alone() {
        let client = Client::at("localhost:1").unwrap();
        let team = client.with_tenant("team-a");
        assert_eq!(team.call("x".into()).1.tenant, "team-a");
        assert_eq!(client.call("x".into()).1.tenant, "");
        let own = GenerateRequest { tenant: "own".into(), ..GenerateRequest::default() };
        assert_eq!(team.call(own).1.tenant, "own");
        assert_ne!(client.call("x".into()).0.request_id, client.call("x".into()).0.request_id);
    }

    #[test]
    fn clients_and_streams_go_from_thread_to_thread() {
        fn sent<T: Send>() {}
        fn shared<T: Send + Sync>() {}
        shared::<Client>();
        sent::<EventStream>();
    }

    #[tokio::test]
    async fn an_id_that_no_header_holds_is_the_callers_mistake() {
        let client = Client::at("127.0.0.1:1").unwrap().with_request_id("a\nb");
        let error = client.generate("x").await.expect_err("sent");
        assert_eq!((error.code, &error.reason), (Code::InvalidArgument, &Reason::InvalidCall));
        let client = client.with_request_id("mine").with_timeout(Duration::MAX);
        assert!(client.timeout.is_none());
    }
}
