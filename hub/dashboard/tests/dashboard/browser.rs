//! A browser that says exactly what it is told to say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing here takes so long unless it is broken.
pub const BOUND: Duration = Duration::from_secs(30);

pub trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

#[derive(Clone)]
pub struct Browser {
    pub addr: SocketAddr,
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub host: String,
    pub cookie: Option<String>,
    pub csrf: Option<String>,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!(
                "{error}: {} {}",
                self.head,
                String::from_utf8_lossy(&self.body)
            )
        })
    }

    /// The error's word.
    #[track_caller]
    pub fn code(&self) -> String {
        let json = self.json();
        assert!(
            json["error"]["message"]
                .as_str()
                .is_some_and(|words| !words.is_empty()),
            "{json}"
        );
        json["error"]["code"].as_str().unwrap().to_owned()
    }
}

impl Browser {
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            tls: None,
            host: addr.to_string(),
            cookie: None,
            csrf: None,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    /// With the session's token, as our pages do.
    pub async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let csrf = self.csrf.clone().unwrap_or_default();
        let headers = [
            ("x-aldis-csrf", csrf.as_str()),
            ("content-type", "application/json"),
        ];
        self.ask(method, path, &headers, body).await
    }

    /// Signs in, and remembers cookie and token.
    pub async fn sign_in(&mut self, password: &str) -> Answer {
        let body = serde_json::json!({ "password": password }).to_string();
        let answer = self.send("POST", "/api/session", &body).await;
        if answer.status == 200 {
            let cookie = answer.header("set-cookie").unwrap();
            self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
            self.csrf = Some(answer.json()["csrf"].as_str().unwrap().to_owned());
        }
        answer
    }

    /// With these headers and no others but cookie and host.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
            self.host
        );
        if let Some(cookie) = &self.cookie {
            head += &format!("cookie: other=1; {cookie}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("content-length: {}\r\n", body.len());
        }
        self.raw(format!("{head}\r\n{body}").as_bytes()).await
    }

    /// Says exactly this, and gives what comes until the end.
    pub async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut line = self.connect().await;
        line.write_all(bytes).await.unwrap();
        let mut all = Vec::new();
        // A server that closes with something unread resets the connection.
        let _ = timeout(BOUND, line.read_to_end(&mut all))
            .await
            .expect("no end of the answer");
        answer(all)
    }

    pub async fn connect(&self) -> Box<dyn Line> {
        let line = TcpStream::connect(self.addr).await.unwrap();
        match &self.tls {
            None => Box::new(line),
            Some(config) => {
                let name = ServerName::try_from("localhost").unwrap();
                let connector = tokio_rustls::TlsConnector::from(config.clone());
                Box::new(connector.connect(name, line).await.unwrap())
            }
        }
    }

    /// Opens a stream of events.
    pub async fn events(&self, path: &str) -> Events {
        let line = self.connect().await;
        self.events_on(line, path).await
    }

    /// Opens a stream of events on a connection that holds little of what is not read.
    pub async fn sleepy_events(&self, path: &str) -> Events {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        let line = socket.connect(self.addr).await.unwrap();
        self.events_on(Box::new(line), path).await
    }

    async fn events_on(&self, mut line: Box<dyn Line>, path: &str) -> Events {
        let cookie = self.cookie.as_deref().unwrap_or("none");
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\ncookie: {cookie}\r\n\r\n",
            self.host
        );
        line.write_all(head.as_bytes()).await.unwrap();
        let mut events = Events {
            line,
            raw: Vec::new(),
            text: Vec::new(),
        };
        let head = events.head().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("text/event-stream"), "{head}");
        events
    }
}

fn answer(all: Vec<u8>) -> Answer {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head: {}", String::from_utf8_lossy(&all)));
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let mut body = all[end + 4..].to_vec();
    if head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        let mut plain = Vec::new();
        while let Some(chunk) = chunk(&mut body) {
            plain.extend(chunk);
        }
        body = plain;
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body }
}

/// Takes a whole chunk from the front.
fn chunk(raw: &mut Vec<u8>) -> Option<Vec<u8>> {
    let line = raw.windows(2).position(|two| two == b"\r\n")?;
    let length = usize::from_str_radix(std::str::from_utf8(&raw[..line]).unwrap(), 16).unwrap();
    let end = line + 2 + length + 2;
    if raw.len() < end || length == 0 {
        return None;
    }
    let chunk = raw[line + 2..end - 2].to_vec();
    raw.drain(..end);
    Some(chunk)
}

/// A stream of events.
pub struct Events {
    line: Box<dyn Line>,
    raw: Vec<u8>,
    text: Vec<u8>,
}

impl Events {
    async fn more(&mut self) -> bool {
        let mut some = [0; 16 << 10];
        let read = timeout(BOUND, self.line.read(&mut some))
            .await
            .expect("nothing came");
        let count = read.unwrap_or(0);
        self.raw.extend_from_slice(&some[..count]);
        count > 0
    }

    async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.raw.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.raw.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.more().await, "no head");
        }
    }

    /// The next event, its name and what it says; nothing at the end. Heartbeats are passed over.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some(chunk) = chunk(&mut self.raw) {
                self.text.extend(chunk);
            }
            while let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.text.drain(..end + 2).collect();
                let event = String::from_utf8(event).unwrap();
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                if let (Some(name), Some(data)) = (field("event: "), field("data: "))
                    && name != "beat"
                {
                    return Some((name.to_owned(), serde_json::from_str(data).unwrap()));
                }
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next event of this name that fits.
    #[track_caller]
    pub fn wait(
        &mut self,
        name: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move {
            let found = async {
                loop {
                    let (found, data) = self
                        .next()
                        .await
                        .unwrap_or_else(|| panic!("{place}: the stream ended"));
                    if found == name && fits(&data) {
                        return data;
                    }
                }
            };
            timeout(BOUND, found)
                .await
                .unwrap_or_else(|_| panic!("{place}: no such `{name}` came"))
        }
    }

    /// Waits for the end.
    pub async fn end(&mut self) {
        let end = async { while self.next().await.is_some() {} };
        timeout(BOUND, end).await.expect("the stream goes on");
    }
}
