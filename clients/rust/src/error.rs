//! Every way a call can fail, by its reason; the reasons are the daemon's.

use std::{error::Error as _, fmt, ops::Deref, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::tls::innermost;

const DOMAIN: &str = "sidecard.dev";

/// Defines [`Reason`], and its names as the daemon writes them.
macro_rules! reasons {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// Why a call failed.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $kind,)*
            /// One that this version doesn't know, as the daemon wrote it.
            Other(String),
        }

        impl Reason {
            /// The reason as the daemon writes it.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$kind => $name,)*
                    Self::Other(name) => name,
                }
            }
        }

        impl From<&str> for Reason {
            fn from(name: &str) -> Self {
                match name {
                    $($name => Self::$kind,)*
                    other => Self::Other(other.into()),
                }
            }
        }
    };
}

reasons! {
    /// The request breaks a rule: `violations` name the fields.
    InvalidCall = "INVALID_CALL",
    /// The daemon wants a token, or another one.
    Unauthenticated = "UNAUTHENTICATED",
    /// The token is for another tenant.
    PermissionDenied = "PERMISSION_DENIED",
    /// The call wanted a cached answer alone, and there is none.
    NotCached = "NOT_CACHED",
    /// The daemon has no room for the call, or its deadline can't be met.
    Overloaded = "OVERLOADED",
    /// A budget has no room for the call: `violations` name it.
    BudgetExhausted = "BUDGET_EXHAUSTED",
    /// The daemon's own rate limit would make the call wait too long.
    RateLimited = "RATE_LIMITED",
    /// The target failed so often that it is left alone for a while.
    BreakerOpen = "BREAKER_OPEN",
    /// The call's time was over before its answer was whole.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// The daemon ends, and the call wasn't done in time: another daemon may take it.
    ShuttingDown = "SHUTTING_DOWN",
    /// The upstream limits the rate (429).
    UpstreamThrottled = "UPSTREAM_THROTTLED",
    /// The upstream is down, out of reach or too slow.
    UpstreamUnavailable = "UPSTREAM_UNAVAILABLE",
    /// The upstream finds the request itself at fault.
    UpstreamRefused = "UPSTREAM_REFUSED",
    /// Key, permission, billing or model name: the daemon's operator has to act.
    UpstreamMisconfigured = "UPSTREAM_MISCONFIGURED",
    /// The answer broke off; `partial_text` is what came, and not an answer.
    UpstreamInterrupted = "UPSTREAM_INTERRUPTED",
    /// The model's output doesn't satisfy the schema: `violations` say where.
    InvalidOutput = "INVALID_OUTPUT",
    /// No daemon answers at the address, or it went away.
    Unavailable = "UNAVAILABLE",
}

/// One thing wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's path in the contract.
    pub field: String,
    /// What to do.
    pub description: String,
}

/// What is known of a failed call.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Facts {
    /// Why it failed.
    pub reason: Reason,
    /// gRPC's code.
    pub code: Code,
    /// What is wrong, without the reason.
    pub message: String,
    /// After how long trying again makes sense, if anybody said.
    pub retry_after: Option<Duration>,
    /// The call's id, in the daemon's log too.
    pub request_id: String,
    /// Where it failed; empty if nowhere.
    pub target: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// What is wrong with the request.
    pub violations: Vec<Violation>,
    /// What a stream had delivered; of an invalid output, its beginning.
    pub partial_text: String,
}

/// A call failed; its [`Facts`] are its fields. Nothing is sent again by itself.
#[derive(Debug, Clone)]
pub struct Error(Box<Facts>);

impl Deref for Error {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.name(), self.message)?;
        if !self.request_id.is_empty() {
            write!(f, " (request {})", self.request_id)?;
        }
        match self.retry_after {
            Some(delay) => write!(f, " (retry after {} s)", delay.as_secs_f64()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// What gRPC's status means. Where the daemon didn't say, gRPC's code decides.
    pub(crate) fn of(status: &Status, address: &str, request_id: &str) -> Self {
        let mut facts = Facts::new(status.code(), status.message(), request_id);
        let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        if let Some(info) = info {
            let known = |key: &str| info.metadata.get(key).filter(|value| !value.is_empty());
            facts.reason = info.reason.as_str().into();
            facts.request_id = known("request_id").cloned().unwrap_or(facts.request_id);
            facts.target = known("target").cloned().unwrap_or_default();
            facts.attempts = known("attempts").and_then(|n| n.parse().ok()).unwrap_or(0);
        } else if unreached(status) {
            let said = status.message();
            let details = match status.source().map(innermost) {
                Some(cause) if cause != said => format!("{said}: {cause}"),
                _ => said.into(),
            };
            return Self::absent(address, request_id, &details);
        } else if status.code() == Code::DeadlineExceeded {
            return Self::late(request_id);
        }
        facts.retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let fields = status
            .get_details_bad_request()
            .into_iter()
            .flat_map(|bad| bad.field_violations.into_iter().map(|v| (v.field, v.description)));
        let budgets = status
            .get_details_quota_failure()
            .into_iter()
            .flat_map(|failure| failure.violations.into_iter().map(|v| (v.subject, v.description)));
        facts.violations = fields
            .chain(budgets)
            .map(|(field, description)| Violation { field, description })
            .collect();
        facts.partial_text =
            status.get_details_debug_info().map(|info| info.detail).unwrap_or_default();
        Self(Box::new(facts))
    }

    /// No daemon answers; the error says how to have one.
    pub(crate) fn absent(address: &str, request_id: &str, details: &str) -> Self {
        let message = format!(
            "no sidecard daemon answers at {address}: `sidecard serve` starts one, \
             SIDECARD_ADDRESS says where it is [{details}]"
        );
        Self(Box::new(Facts::new(Code::Unavailable, &message, request_id)))
    }

    /// It can't even be sent.
    pub(crate) fn invalid(request_id: &str, field: &str, why: &str) -> Self {
        let message = format!("{field}: {why}");
        let mut facts = Facts::new(Code::InvalidArgument, &message, request_id);
        facts.reason = Reason::InvalidCall;
        facts.violations = vec![Violation { field: field.into(), description: why.into() }];
        Self(Box::new(facts))
    }

    /// The call's own time is over.
    pub(crate) fn late(request_id: &str) -> Self {
        let message = "the timeout passed before the answer was whole";
        Self(Box::new(Facts::new(Code::DeadlineExceeded, message, request_id)))
    }

    /// gRPC's OK came before the answer was whole.
    pub(crate) fn cut_off(request_id: &str) -> Self {
        let message = "the stream ended before the answer was whole";
        let mut facts = Facts::new(Code::Unknown, message, request_id);
        facts.reason = Reason::UpstreamInterrupted;
        Self(Box::new(facts))
    }

    pub(crate) fn with_partial_text(mut self, text: String) -> Self {
        if !text.is_empty() {
            self.0.partial_text = text;
        }
        self
    }
}

impl Facts {
    fn new(code: Code, message: &str, request_id: &str) -> Self {
        Self {
            reason: code_name(code).as_str().into(),
            code,
            message: message.into(),
            retry_after: None,
            request_id: request_id.into(),
            target: String::new(),
            attempts: 0,
            violations: Vec::new(),
            partial_text: String::new(),
        }
    }
}

/// Whether it is the connection that failed, as where a daemon refuses the client's certificate
/// or is killed: tonic then says that it doesn't know. What a daemon says has no cause here.
fn unreached(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Cancelled)
        || status.code() == Code::Unknown && status.source().is_some()
}

/// `InvalidArgument` as INVALID_ARGUMENT.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_reason_request_and_delay() {
        let mut facts = Facts::new(Code::Unavailable, "wait", "r");
        facts.reason = "LATER".into();
        facts.retry_after = Some(Duration::from_millis(1500));
        let error = Error(Box::new(facts));
        assert_eq!(error.to_string(), "LATER: wait (request r) (retry after 1.5 s)");
        assert_eq!(error.reason, Reason::Other("LATER".into()));
    }

    #[test]
    fn every_reason_has_its_name_back() {
        for name in ["BREAKER_OPEN", "INVALID_CALL", "OF_A_LATER_VERSION"] {
            assert_eq!(Reason::from(name).name(), name);
        }
        assert_eq!(Reason::from("BREAKER_OPEN"), Reason::BreakerOpen);
        assert_eq!(code_name(Code::InvalidArgument), "INVALID_ARGUMENT");
    }
}
