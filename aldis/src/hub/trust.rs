//! `aldis hub trust`: how phones and browsers come to trust the hub.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aldis_place::{Authority, Machine};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::address::own_address;
use super::parts::web::{PORT, SECURE_PORT};
use super::{Common, qr, say};
use crate::signals::interrupted;

/// Where the page of this command is, if nobody else is there.
const OWN_PORT: u16 = 8088;
/// How long a phone may take to ask, and to read.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many may be served at once.
const AT_ONCE: usize = 16;
/// The longest question.
const QUESTION: usize = 8 * 1024;

/// Explain and show the certificate that phones and browsers are to trust
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    aldis hub trust\n  \
    aldis hub trust --lan\n  \
    aldis hub trust --pem > ca.pem\n\n\
    The hub makes a certificate authority of its own, which can certify names and addresses of home \
    networks and no others. Who trusts it, reaches the hub by HTTPS and by MQTT over TLS. With \
    --lan a phone gets the certificate from this command while it runs.")]
pub struct Args {
    /// Let phones get the certificate from this machine (HTTP) until Ctrl-C
    #[arg(long)]
    lan: bool,
    /// The port for that [default: 8088, or a free one]
    #[arg(long, value_name = "PORT", requires = "lan")]
    port: Option<u16>,
    /// Print the certificate and nothing else
    #[arg(long, conflicts_with_all = ["lan", "json"])]
    pem: bool,
    /// The hub's name, if it is not this machine's [default: the one it had last]
    #[arg(long, value_name = "NAME", env = "ALDIS_HUB_NAME")]
    name: Option<String>,
}

/// What to do on a system.
struct System {
    name: &'static str,
    steps: &'static [&'static str],
}

const SYSTEMS: [System; 7] = [
    System {
        name: "Android",
        steps: &[
            "Get the certificate (the page in the QR code).",
            "Settings, Security & privacy, More security settings, Encryption & credentials, \
             Install a certificate, CA certificate, Install anyway. Search the settings for \
             \"CA certificate\" where they are called otherwise.",
            "Choose aldis-ca.crt among the downloads.",
        ],
    },
    System {
        name: "iPhone, iPad",
        steps: &[
            "Get the certificate with Safari, and allow the download.",
            "Settings, General, VPN & Device Management, the profile \"Aldis hub\", Install.",
            "Settings, General, About, Certificate Trust Settings: switch it on. Without this \
             step it is not trusted.",
        ],
    },
    System {
        name: "Windows",
        steps: &["certutil -user -addstore Root ca.pem"],
    },
    System {
        name: "macOS",
        steps: &["sudo security add-trusted-cert -d -r trustRoot -k \
             /Library/Keychains/System.keychain ca.pem"],
    },
    System {
        name: "Linux (Debian, Ubuntu, Raspberry Pi OS)",
        steps: &[
            "sudo cp ca.pem /usr/local/share/ca-certificates/aldis-hub.crt",
            "sudo update-ca-certificates",
        ],
    },
    System {
        name: "Chromium and Chrome on Linux",
        steps: &[
            "sudo apt-get install libnss3-tools",
            "certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n \"Aldis hub\" -i ca.pem",
        ],
    },
    System {
        name: "Firefox",
        steps: &[
            "Settings, Privacy & Security, Certificates, View Certificates, Authorities, Import: \
             ca.pem, \"Trust this CA to identify websites\".",
        ],
    },
];

/// What is to be trusted, and where it is found.
struct Trust {
    authority: Authority,
    /// The hub's name in the network.
    host: String,
    /// The address of this machine in the network.
    ip: Option<IpAddr>,
    /// Whether the dashboard speaks HTTPS to others.
    dashboard: bool,
}

/// Explains it, and serves it where that is asked for.
pub fn run(args: &Args, common: &Common) -> Result<(), String> {
    let data = common.data()?;
    let machine = Machine::look(args.name.as_deref()).map_err(|error| error.to_string())?;
    let authority =
        Authority::open(&data, &machine, SystemTime::now()).map_err(|error| error.to_string())?;
    if args.pem {
        return io::stdout()
            .write_all(authority.pem().as_bytes())
            .map_err(|error| format!("cannot write: {error}"));
    }
    // A network without a way out has addresses as well.
    let others = machine.addresses.iter().find(|ip| ip.is_ipv4());
    let ip = own_address().filter(|ip| !ip.is_loopback());
    let ip = ip.or(others.copied());
    let host = authority.host().filter(|_| args.name.is_none());
    let trust = Trust {
        host: host.unwrap_or_else(|| machine.local_name()),
        authority,
        dashboard: ip.is_some_and(|ip| answers(ip, SECURE_PORT)),
        ip,
    };
    if !args.lan {
        return match common.json {
            true => say(trust.json(None)),
            false => trust.text(None).and_then(say_text),
        };
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let listener = listen(args.port).await?;
        let addr = listener.local_addr().map_err(|error| error.to_string())?;
        let ip = trust.ip.unwrap_or(Ipv4Addr::LOCALHOST.into());
        let url = format!("http://{}", SocketAddr::new(ip, addr.port()));
        match common.json {
            true => say(trust.json(Some(&url)))?,
            false => trust.text(Some(&url)).and_then(say_text)?,
        }
        let site = Arc::new(Site {
            page: trust.page(),
            pem: trust.authority.pem().as_bytes().to_vec(),
            der: trust.authority.der().to_vec(),
        });
        tokio::select! {
            () = serve(listener, site) => {}
            () = interrupted() => {}
        }
        Ok(())
    })
}

fn say_text(text: String) -> Result<(), String> {
    say(text.trim_end())
}

/// Whether something listens there.
fn answers(ip: IpAddr, port: u16) -> bool {
    TcpStream::connect_timeout(&(ip, port).into(), Duration::from_millis(200)).is_ok()
}

async fn listen(port: Option<u16>) -> Result<TcpListener, String> {
    let all = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let bound = match port {
        Some(port) => TcpListener::bind(all(port)).await,
        None => match TcpListener::bind(all(OWN_PORT)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                TcpListener::bind(all(0)).await
            }
            bound => bound,
        },
    };
    bound.map_err(|error| {
        let port = port.unwrap_or(OWN_PORT);
        format!("cannot listen on port {port}: {error}; choose another with `--port`")
    })
}

impl Trust {
    fn dashboard(&self) -> Option<String> {
        let ip = self.ip.filter(|_| self.dashboard)?;
        Some(format!("https://{}", SocketAddr::new(ip, SECURE_PORT)))
    }

    /// The page on which the dashboard shows the certificate, over HTTP.
    fn shown(&self) -> Option<String> {
        let ip = self.ip.filter(|ip| self.dashboard && answers(*ip, PORT))?;
        Some(format!("http://{}/trust", SocketAddr::new(ip, PORT)))
    }

    fn json(&self, url: Option<&str>) -> serde_json::Value {
        json!({
            "certificate": self.authority.path(),
            "name": self.authority.name(),
            "sha256": self.authority.fingerprint(),
            "ends": self.authority.ends(),
            "url": url,
            "dashboard": self.dashboard(),
            "host": self.host,
        })
    }

    fn text(&self, url: Option<&str>) -> Result<String, String> {
        let authority = &self.authority;
        let mut text = format!(
            "The hub's certificate authority, which phones and browsers are to trust:\n\n  \
             {}\n  {}\n  until {}\n  SHA-256 {}\n\n",
            authority.name(),
            authority.path().display(),
            authority.ends(),
            authority.fingerprint(),
        );
        match url {
            Some(url) => {
                let _ = write!(
                    text,
                    "A phone gets it at {url} until you type Ctrl-C. Once it is installed, compare \
                     the fingerprint in its details there with the one above: on the way it could \
                     have been replaced.\n\n{}\n",
                    qr::picture(url)?
                );
            }
            None => {
                if let Some(url) = self.shown() {
                    let _ = writeln!(text, "A phone gets it from the dashboard, {url}");
                }
                text.push_str(
                    "`aldis hub trust --lan` lets a phone get it, with a QR code; \
                     `aldis hub trust --pem > ca.pem` writes it into a file.\n\n",
                );
            }
        }
        for system in &SYSTEMS {
            let _ = writeln!(text, "{}", system.name);
            for step in system.steps {
                let _ = writeln!(text, "  - {step}");
            }
        }
        let _ = write!(
            text,
            "\nFor MQTT: aldis sub -h {} -p 8883 --cafile ca.pem -u NAME -P PASSWORD -t '#'\n",
            self.host
        );
        if let Some(dashboard) = self.dashboard() {
            let _ = write!(
                text,
                "\nThen open the dashboard, {dashboard}:\n\n{}",
                qr::picture(&dashboard)?
            );
        }
        Ok(text)
    }

    /// The page for a phone.
    fn page(&self) -> Vec<u8> {
        let mut systems = String::new();
        for System { name, steps } in &SYSTEMS {
            let _ = write!(systems, "<h2>{}</h2><ol>", escaped(name));
            for step in *steps {
                let _ = write!(systems, "<li>{}</li>", escaped(step));
            }
            systems.push_str("</ol>");
        }
        let dashboard = self.dashboard().map_or_else(String::new, |url| {
            format!("<p>Then open <a href=\"{url}\">the dashboard</a>.</p>")
        });
        format!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <title>Trust this hub</title><style>\
             body{{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:auto;padding:1rem;\
             color-scheme:light dark}}\
             h2{{font-size:1rem;margin:1.5rem 0 0}}code,li{{overflow-wrap:anywhere}}\
             a.get{{display:block;padding:.8rem;border:2px solid;border-radius:.5rem;\
             text-align:center}}</style></head><body><h1>Trust {host}</h1>\
             <p><a class=\"get\" href=\"/aldis-ca.crt\">Get the certificate</a></p>\
             <p>Once it is installed, compare the SHA-256 fingerprint in its details with what \
             <code>aldis hub trust</code> shows on the hub itself. If it differs, remove it: \
             somebody is in between.</p>\
             <p>For programs: <a href=\"/ca.pem\">ca.pem</a></p>{systems}{dashboard}</body></html>",
            host = escaped(&self.host),
        )
        .into_bytes()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// What there is to get.
struct Site {
    page: Vec<u8>,
    pem: Vec<u8>,
    der: Vec<u8>,
}

/// Serves it for ever.
async fn serve(listener: TcpListener, site: Arc<Site>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = site.clone();
                tokio::spawn(async move {
                    let _ = timeout(PATIENCE, visit(stream, &site)).await;
                    drop(permit);
                });
            }
            // Without descriptors, or with a visitor who left: the next one is served.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// One question and its answer.
async fn visit(mut stream: tokio::net::TcpStream, site: &Site) -> io::Result<()> {
    let mut question = Vec::new();
    let mut buffer = [0; 1024];
    while !question.windows(4).any(|end| end == b"\r\n\r\n") {
        let length = stream.read(&mut buffer).await?;
        if length == 0 || question.len() > QUESTION {
            return Ok(());
        }
        question.extend_from_slice(buffer.get(..length).unwrap_or_default());
    }
    let (head, body) = answer(&question, site);
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}

fn answer<'a>(question: &[u8], site: &'a Site) -> (String, &'a [u8]) {
    let line = question.split(|byte| *byte == b'\r').next().unwrap_or(b"");
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = target.split('?').next().unwrap_or("");
    let (status, kind, body): (_, _, &[u8]) = match (method, path) {
        ("GET" | "HEAD", "/") => ("200 OK", "text/html; charset=utf-8", &site.page),
        ("GET" | "HEAD", "/aldis-ca.crt") => ("200 OK", "application/x-x509-ca-cert", &site.der),
        ("GET" | "HEAD", "/ca.pem") => ("200 OK", "application/x-pem-file", &site.pem),
        ("GET" | "HEAD", _) => ("404 Not Found", "text/plain", b"There is nothing here.\n"),
        _ => ("405 Method Not Allowed", "text/plain", b""),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    (head, if method == "HEAD" { b"" } else { body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(dir: &std::path::Path) -> Trust {
        let machine = Machine::look(Some("kitchen")).unwrap();
        Trust {
            authority: Authority::open(dir, &machine, SystemTime::now()).unwrap(),
            host: machine.local_name(),
            ip: Some([192, 0, 2, 7].into()),
            dashboard: true,
        }
    }

    /// A phone installs a certificate that has its own media type, and shows any other as text.
    #[test]
    fn a_phone_gets_the_certificate_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let trust = trust(dir.path());
        let site = Site {
            page: trust.page(),
            pem: trust.authority.pem().as_bytes().to_vec(),
            der: trust.authority.der().to_vec(),
        };
        let get = |line: &str| {
            let (head, body) = answer(format!("{line} HTTP/1.1\r\n\r\n").as_bytes(), &site);
            (head, body.to_vec())
        };
        let (head, body) = get("GET /aldis-ca.crt");
        assert!(head.contains("Content-Type: application/x-x509-ca-cert\r\n"));
        assert!(head.contains(&format!("Content-Length: {}\r\n", site.der.len())));
        assert_eq!(body, site.der);
        assert_eq!(get("GET /ca.pem?x").1, site.pem);
        let (head, body) = get("HEAD /ca.pem");
        assert!(head.starts_with("HTTP/1.1 200") && body.is_empty());
        for (line, status) in [
            ("GET /../ca/ca.key", "404"),
            ("GET /ca.key", "404"),
            ("POST /", "405"),
            ("", "405"),
            ("\u{fffd}", "405"),
        ] {
            let (head, body) = get(line);
            assert!(head.contains(status), "{line}: {head}");
            assert!(!String::from_utf8_lossy(&body).contains("PRIVATE"));
        }
        let page = String::from_utf8(site.page.clone()).unwrap();
        // Whoever replaces the certificate replaces what the page says of it as well.
        assert!(!page.contains(&trust.authority.fingerprint()));
        assert!(page.contains("Certificate Trust Settings") && page.contains("&amp;"));
    }

    /// What is printed names the file, the fingerprint and where to go.
    #[test]
    fn the_text_says_what_to_do_on_every_system() {
        let dir = tempfile::tempdir().unwrap();
        let trust = trust(dir.path());
        let text = trust.text(Some("http://192.0.2.7:8088")).unwrap();
        for words in [
            &trust.authority.fingerprint(),
            "Android",
            "iPhone",
            "certutil",
            "http://192.0.2.7:8088",
            "https://192.0.2.7:8443",
            "kitchen.local",
        ] {
            assert!(text.contains(words), "{words}:\n{text}");
        }
        let json = trust.json(None);
        assert_eq!(json["sha256"], trust.authority.fingerprint());
        assert_eq!(json["url"], serde_json::Value::Null);
    }
}
