//! The conformance driver of the Rust client: makes calls as it is told, and reports them.
//! `clients/conformance/README.md` has the protocol.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use prost::Message;
use serde_json::{Value, json};
use sidecard_client::{
    Client, Error, EventStream, Tls,
    v1::{GenerateRequest, stream_event::Event},
};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut jobs = BufReader::new(stdin()).lines();
    let mut clients = HashMap::new();
    while let Some(line) = jobs.next_line().await? {
        println!("{}", done(&serde_json::from_str(&line)?, &mut clients).await?);
    }
    Ok(())
}

type Clients = HashMap<String, Client>;

async fn done(job: &Value, clients: &mut Clients) -> Result<Value, Box<dyn std::error::Error>> {
    let text = |key: &str| job[key].as_str().unwrap_or_default();
    let file = |key: &str| job["tls"][key].as_str().map(PathBuf::from);
    let at = match file("ca_file") {
        None => Client::at(text("address"))?,
        ca_file => {
            let (cert_file, key_file) = (file("cert_file"), file("key_file"));
            let tls = Tls { ca_file, cert_file, key_file, ..Tls::default() };
            Client::encrypted(text("address"), &tls)?
        }
    };
    let key = format!("{} {}", text("address"), job["tls"]);
    let mut client = clients.entry(key).or_insert(at).with_tenant(text("tenant"));
    if let Some(token) = job["token"].as_str() {
        client = client.with_token(token);
    }
    if let Some(wait) = seconds(&job["wait_for_ready_s"]) {
        client = client.with_wait_for_ready(wait);
    }
    if let Some(timeout) = seconds(&job["timeout_s"]).or(seconds(&job["client_timeout_s"])) {
        client = client.with_timeout(timeout);
    }
    client = client.with_request_id(text("request_id"));
    let request = GenerateRequest::decode(STANDARD.decode(text("request"))?.as_slice())?;
    let leave = &job["leave"];
    Ok(match text("method") {
        "stream" => streamed(client.stream(request), leave["after_pieces"].as_u64()).await,
        "count_tokens" => match client.count_tokens(request).await {
            Ok(count) => json!({"input_tokens": count}),
            Err(error) => json!({"error": told(&error)}),
        },
        _ => {
            let most = seconds(&leave["after_s"]).unwrap_or(Duration::from_secs(60));
            match tokio::time::timeout(most, client.generate(request)).await {
                Ok(Ok(response)) => json!({"response": packed(&response)}),
                Ok(Err(error)) => json!({"error": told(&error)}),
                Err(_) => json!({"left": true}),
            }
        }
    })
}

async fn streamed(mut stream: EventStream, most: Option<u64>) -> Value {
    let (mut events, mut pieces) = (Vec::new(), 0);
    while most != Some(pieces) {
        let Some(Ok(event)) = stream.next().await else { break };
        events.push(packed(&event));
        pieces += u64::from(matches!(event.event, Some(Event::TextDelta(_))));
    }
    let mut report = json!({"events": events, "text": stream.text()});
    match stream.response() {
        Some(Ok(response)) => report["response"] = json!(packed(response)),
        Some(Err(error)) => report["error"] = told(&error),
        None => report["left"] = json!(true),
    }
    report
}

fn told(error: &Error) -> Value {
    let violations: Vec<Value> = error
        .violations
        .iter()
        .map(|found| json!({"field": found.field, "description": found.description}))
        .collect();
    json!({
        "reason": error.reason.name(),
        "code": named(&format!("{:?}", error.code)),
        "message": error.message,
        "retry_after_s": error.retry_after.map(|delay| delay.as_secs_f64()),
        "request_id": error.request_id,
        "target": error.target,
        "attempts": error.attempts,
        "violations": violations,
        "partial_text": error.partial_text,
    })
}

fn named(code: &str) -> String {
    code.char_indices()
        .flat_map(|(i, letter)| {
            let gap = (i > 0 && letter.is_uppercase()).then_some('_');
            gap.into_iter().chain([letter.to_ascii_uppercase()])
        })
        .collect()
}

fn seconds(value: &Value) -> Option<Duration> {
    value.as_f64().map(Duration::from_secs_f64)
}

fn packed(message: &impl Message) -> String {
    STANDARD.encode(message.encode_to_vec())
}
