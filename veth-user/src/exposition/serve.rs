//! The HTTP side: who may ask, for how long, and how much room that takes.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use super::Source;
use crate::metrics::{Format, Sample, encode};

/// Connections at once. Others wait in the kernel's queue.
const CONNECTIONS: usize = 256;

/// How long a request may take to arrive.
const REQUEST: Duration = Duration::from_secs(2);

/// How long a connection may last, however slowly its client reads.
const CONNECTION: Duration = Duration::from_secs(10);

/// The room for a request, which is all that a client can make us keep: the least that hyper takes.
const REQUEST_BYTES: usize = 8 << 10;

/// How old what is told may be: the kernel is not asked more often, however many clients there are.
const AGE: Duration = Duration::from_secs(1);

/// How long to wait when no connection can be accepted, as without free file descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen for metrics on {address}: {source}")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// A socket that is listened on.
pub struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
}

impl Endpoint {
    /// Listens on `address`. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the address is in use, or not one of this host.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let bind = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bind.await.map_err(|source| BindError { address, source })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped.
    pub async fn serve(self, source: Source) {
        let (ask, asked) = mpsc::channel(CONNECTIONS);
        let accept = async {
            let room = Arc::new(Semaphore::new(CONNECTIONS));
            loop {
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                    return;
                };
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        let ask = ask.clone();
                        tokio::spawn(async move {
                            talk(stream, ask).await;
                            drop(permit);
                        });
                    }
                    Err(_) => sleep(RETRY).await,
                }
            }
        };
        tokio::join!(accept, keep_pages(Pages::new(source), asked));
    }
}

/// Somebody who waits for a page.
struct Asked {
    format: Format,
    answer: oneshot::Sender<Bytes>,
}

/// One request and its answer. Whatever goes wrong concerns nobody but the client.
async fn talk(stream: TcpStream, ask: mpsc::Sender<Asked>) {
    let service = service_fn(|request| answer(request, ask.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .max_buf_size(REQUEST_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let _ = timeout(CONNECTION, connection).await;
}

async fn answer(
    request: Request<Incoming>,
    ask: mpsc::Sender<Asked>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/metrics" {
        return Ok(plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n"));
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "metrics can only be read\n");
        let allowed = header::HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(header::ALLOW, allowed);
        return Ok(response);
    }
    let format = wanted_format(request.headers());
    let (answer, page) = oneshot::channel();
    // Only fails when the endpoint ends.
    let _ = ask.send(Asked { format, answer }).await;
    Ok(page.await.map_or_else(
        |_| plain(StatusCode::SERVICE_UNAVAILABLE, "nothing could be read\n"),
        |page| response(StatusCode::OK, format.media_type(), page),
    ))
}

/// `OpenMetrics` for whoever takes it, and does not like the older format better.
fn wanted_format(headers: &header::HeaderMap) -> Format {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let types: Vec<(&str, f32)> =
        accepted.flat_map(|value| value.split(',')).map(weighed).collect();
    let weight = |wanted: &str| {
        let named = types.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, weight)| *weight).fold(0.0, f32::max)
    };
    let open = weight("application/openmetrics-text");
    if open > 0.0 && open >= weight("text/plain") { Format::OpenMetrics } else { Format::Text }
}

/// A media type and how much it is wanted, from zero to one.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2>.
fn weighed(range: &str) -> (&str, f32) {
    let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
    let weight = parameters.split(';').find_map(|it| {
        let (key, value) = it.split_once('=')?;
        key.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().unwrap_or(0.0))
    });
    (name.trim(), weight.unwrap_or(1.0))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn response(status: StatusCode, media_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let media_type = header::HeaderValue::from_static(media_type);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

/// Answers one after the other, so that what is read once serves all who ask meanwhile.
async fn keep_pages(mut pages: Pages, mut asked: mpsc::Receiver<Asked>) {
    while let Some(Asked { format, answer }) = asked.recv().await {
        if answer.is_closed() {
            continue;
        }
        if let Some(page) = pages.present(format) {
            let _ = answer.send(page);
            continue;
        }
        let made = spawn_blocking(move || {
            let page = pages.make(format);
            (pages, page)
        });
        match made.await {
            Ok((same, page)) => {
                pages = same;
                let _ = answer.send(page);
            }
            // It panicked; the process is on its way out, or whoever asks is told.
            Err(_) => return,
        }
    }
}

/// The last sample, and its pages as far as somebody has asked for them.
struct Pages {
    source: Source,
    sample: Option<(Instant, Sample)>,
    texts: [Option<Bytes>; Format::ALL.len()],
}

impl Pages {
    const fn new(source: Source) -> Self {
        Self { source, sample: None, texts: [const { None }; Format::ALL.len()] }
    }

    /// The page, when there is one that is not too old.
    fn present(&self, format: Format) -> Option<Bytes> {
        let (taken, _) = self.sample.as_ref()?;
        if taken.elapsed() < AGE { self.texts[format as usize].clone() } else { None }
    }

    /// Makes the page, of a new sample when the last one is too old.
    fn make(&mut self, format: Format) -> Bytes {
        let sample = match self.sample.take() {
            Some((taken, sample)) if taken.elapsed() < AGE => (taken, sample),
            _ => {
                self.texts = [const { None }; Format::ALL.len()];
                (Instant::now(), self.source.sample())
            }
        };
        let page = Bytes::from(encode(&sample.1, format));
        self.texts[format as usize] = Some(page.clone());
        self.sample = Some(sample);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_for(accept: &[&'static str]) -> Format {
        let mut headers = header::HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, header::HeaderValue::from_static(value));
        }
        wanted_format(&headers)
    }

    #[test]
    fn open_metrics_goes_to_those_who_take_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(format_for(&[prometheus]), Format::OpenMetrics);
        assert_eq!(format_for(&["text/html", "Application/OpenMetrics-Text"]), Format::OpenMetrics);
        assert_eq!(format_for(&["text/plain", "*/*"]), Format::Text);
        let open = "application/openmetrics-text";
        for (weights, format) in [
            (";q=0", Format::Text),
            ("; version=1.0.0; Q=0.0", Format::Text),
            (";q=nonsense", Format::Text),
            (";q=0.3,text/plain;q=0.4", Format::Text),
            (";q=0.4,text/plain;q=0.3", Format::OpenMetrics),
        ] {
            let accept = format!("{open}{weights}");
            let mut headers = header::HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("is a value"));
            assert_eq!(wanted_format(&headers), format, "{accept}");
        }
        assert_eq!(format_for(&[]), Format::Text);
    }
}
