//! Ask the sidecard daemon beside you:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = sidecard_client::Client::new()?;
//! println!("{}", client.generate("Why is the sky blue?").await?.text);
//! # Ok(())
//! # }
//! ```
//!
//! Requests and replies are the contract's own messages, in [`v1`].

mod client;
mod endpoint;
mod error;
mod progress;
mod request;
mod stream;
mod tls;
/// The contract's messages, generated.
#[allow(missing_docs, clippy::all)]
#[rustfmt::skip]
pub mod v1;

pub use client::{Client, DEFAULT_ADDRESS};
pub use endpoint::InvalidSetting;
pub use error::{Error, Facts, Reason, Violation};
pub use request::{assistant, text, tool_result, user};
pub use stream::EventStream;
pub use tls::Tls;
pub use tonic::Code;
