//! A question, a stream, and what to do when there is no answer:
//!
//!     cargo run --example ask "Why is the sky blue?"
//!
//! A daemon has to be running: `sidecard serve`, or `make run` in sidecard's repository.

use std::{io::Write, process::ExitCode, time::Duration};

use sidecard_client::{Client, Error, Reason, assistant, text, user, v1::GenerateRequest};

#[tokio::main]
async fn main() -> ExitCode {
    let question = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let question = if question.is_empty() { "Why is the sky blue?".into() } else { question };
    let client = match Client::new() {
        Ok(client) => client,
        Err(invalid) => {
            eprintln!("{invalid}");
            return ExitCode::FAILURE;
        }
    };
    let client =
        client.with_timeout(Duration::from_secs(60)).with_wait_for_ready(Duration::from_secs(5));
    if let Err(error) = ask(&client, question).await {
        if error.reason == Reason::Unavailable {
            eprintln!("Start a daemon first: sidecard serve");
        }
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn ask(client: &Client, question: String) -> Result<(), Error> {
    let request = GenerateRequest {
        prompt: question.clone(),
        system: "Answer in one sentence.".into(),
        ..GenerateRequest::default()
    };
    let reply = client.generate(request).await?;
    let tokens = reply.usage.unwrap_or_default().output_tokens;
    println!("{}\n  ({}, {tokens} tokens)", reply.text, reply.source().as_str_name());

    let messages = vec![
        user([text(question)]),
        assistant(reply.content),
        user([text("Say it in five words.")]),
    ];
    let mut stream = client.stream(GenerateRequest { messages, ..GenerateRequest::default() });
    while let Some(piece) = stream.next_text().await {
        print!("{}", piece?);
        let _ = std::io::stdout().flush();
    }
    if let Some(whole) = stream.response() {
        println!("\n  (stopped at {})", whole?.stop_reason);
    }
    Ok(())
}
