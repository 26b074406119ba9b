//! A client of the endpoint, and what it was told.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use crate::sandbox::{PATIENCE, Sandbox};

/// Where the endpoint is.
pub(super) const ADDRESS: &str = "127.0.0.1:9478";

/// The header of those who take `OpenMetrics`.
pub(super) const OPEN_METRICS: &str = "Accept: application/openmetrics-text;version=1.0.0\r\n";

/// An answer.
pub(super) struct Answer {
    /// Its headers.
    pub(super) head: String,
    /// What follows them.
    pub(super) body: String,
}

/// Samples, line by line.
pub(super) struct Scraped(pub(super) String);

impl Scraped {
    /// The value of the first sample of that name with these labels, among others.
    #[track_caller]
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let mut samples = self.0.lines().filter_map(|line| line.rsplit_once(' '));
        let (_, value) = samples.find(|(sample, _)| {
            sample.split('{').next() == Some(name) && labels.iter().all(|it| sample.contains(it))
        })?;
        Some(value.parse().expect("counters and states are whole numbers"))
    }
}

/// What the endpoint tells now.
#[track_caller]
pub(super) fn scrape(sandbox: &Sandbox) -> Scraped {
    Scraped(get(sandbox, "/metrics", OPEN_METRICS).body)
}

/// Asks for `path`, and fails the test unless there is an answer.
#[track_caller]
pub(super) fn get(sandbox: &Sandbox, path: &str, headers: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: veth\r\n{headers}\r\n");
    let answer = exchange(sandbox, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has headers");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    Answer { head: head.to_owned(), body: body.to_owned() }
}

/// Sends `request` to the endpoint, and reads until it closes.
#[track_caller]
pub(super) fn exchange(sandbox: &Sandbox, request: &[u8]) -> String {
    exchange_with(sandbox, ADDRESS, request)
}

/// Sends `request`, and reads until the other side closes.
#[track_caller]
pub(super) fn exchange_with(sandbox: &Sandbox, address: &str, request: &[u8]) -> String {
    let mut stream = connect(sandbox, address);
    stream.write_all(request).expect("takes a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answers, and closes");
    String::from_utf8(answer).expect("answers in text")
}

/// A connection.
#[track_caller]
pub(super) fn connect(sandbox: &Sandbox, address: &str) -> TcpStream {
    let stream = sandbox.on_host(|| TcpStream::connect(address)).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

/// Whether somebody listens.
pub(super) fn is_there(sandbox: &Sandbox, address: &str) -> bool {
    sandbox.on_host(|| TcpStream::connect(address)).is_ok()
}
