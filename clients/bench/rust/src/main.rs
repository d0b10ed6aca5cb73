//! What `python -m tests.bench.clients` measures in Rust: `sidecard-bench client PORT` does one job
//! a line, "unary 200 PROMPT" or "burst 20 PROMPT", and tells how much text each call gave.
//! Anthropic has no SDK in Rust to do the same.

use std::{collections::BTreeSet, error::Error, io};

use sidecard_client::{Client, v1::GenerateRequest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(2).ok_or("no port")?;
    let client = Client::at(&format!("127.0.0.1:{port}"))?;
    for line in io::stdin().lines() {
        let line = line?;
        let mut parts = line.splitn(3, ' ');
        let mut part = || parts.next().ok_or("a line is KIND COUNT PROMPT");
        let (kind, count, prompt) = (part()?, part()?.parse::<u32>()?, part()?);
        let mut lengths = BTreeSet::new();
        for _ in 0..count {
            let request = GenerateRequest {
                prompt: prompt.into(),
                max_tokens: Some(4096),
                ..GenerateRequest::default()
            };
            lengths.insert(match kind {
                "unary" => client.generate(request).await?.text.len(),
                _ => burst(&client, request).await?,
            });
        }
        let told: Vec<_> = lengths.iter().map(ToString::to_string).collect();
        println!("{}", told.join(" "));
    }
    Ok(())
}

async fn burst(client: &Client, request: GenerateRequest) -> Result<usize, Box<dyn Error>> {
    let mut stream = client.stream(request);
    let mut length = 0;
    while let Some(piece) = stream.next_text().await {
        length += piece?.len();
    }
    let whole = stream.response().ok_or("no answer at the end")??;
    if whole.text.len() != length {
        return Err("the pieces aren't the text".into());
    }
    Ok(length)
}
