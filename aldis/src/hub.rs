//! `aldis hub`: the broker of an installation.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use aldis_hub::{Hub, HubConfig, HubFile, RunningHub, TlsConfig, hash_password};
use serde_json::json;

use crate::signals::EndSignals;
use crate::{duration, logging};

/// Run the hub: an MQTT 3.1.1 and 5 broker that remembers
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    aldis hub\n  \
    aldis hub --listen 127.0.0.1:1884 --data ./hub-data\n  \
    aldis hub --tls :8883 --cert cert.pem --key key.pem\n  \
    aldis hub --hash-password\n\n\
    Users and access rules are in DIR/hub.toml: see docs/hub.md.")]
pub struct Args {
    /// Where to speak MQTT; port 0 takes a free port [default: 0.0.0.0:1883]
    #[arg(long, value_name = "ADDR", env = "ALDIS_HUB_LISTEN")]
    listen: Option<String>,
    /// Where to keep retained messages and sessions [default: aldis/hub in the user's data directory]
    #[arg(long, value_name = "DIR", env = "ALDIS_HUB_DATA")]
    data: Option<PathBuf>,
    /// The configuration file [default: DIR/hub.toml, if it exists]
    #[arg(long, value_name = "FILE", env = "ALDIS_HUB_CONFIG")]
    config: Option<PathBuf>,
    /// Speak MQTT over WebSocket there as well
    #[arg(long, value_name = "ADDR", env = "ALDIS_HUB_WS")]
    ws: Option<String>,
    /// Speak MQTT over TLS there as well
    #[arg(long, value_name = "ADDR", env = "ALDIS_HUB_TLS")]
    tls: Option<String>,
    /// The certificate chain for TLS, in PEM
    #[arg(long, value_name = "FILE", env = "ALDIS_HUB_CERT")]
    cert: Option<PathBuf>,
    /// The private key for TLS, in PEM
    #[arg(long, value_name = "FILE", env = "ALDIS_HUB_KEY")]
    key: Option<PathBuf>,
    /// End after this time: 30s, 5m, 2h, 30d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    lifetime: Option<Duration>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Say more on standard error; -vv and -vvv say even more
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Read a password, print its hash for hub.toml, and end
    #[arg(long, exclusive = true)]
    hash_password: bool,
}

/// Runs the hub until a signal or the end of its time.
pub fn run(args: Args) -> ExitCode {
    if args.hash_password {
        return print_hash();
    }
    logging::start(args.verbose);
    let (config, users) = match configure(&args) {
        Ok(config) => config,
        Err(what) => return crate::fail(what),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return crate::fail(format_args!("cannot start: {error}")),
    };
    runtime.block_on(serve(&args, config, users))
}

async fn serve(args: &Args, config: HubConfig, users: bool) -> ExitCode {
    // Before anything is announced, so that a signal right after it is not missed.
    let end = match EndSignals::listen() {
        Ok(end) => end,
        Err(error) => return crate::fail(format_args!("cannot listen to signals: {error}")),
    };
    let data = config.data.clone();
    let hub = match Hub::start(config).await {
        Ok(hub) => hub,
        Err(error) => return crate::fail(error),
    };
    let text = if args.json {
        announcement_json(&hub, data.as_deref())
    } else {
        announcement(&hub, data.as_deref(), users)
    };
    // The hub serves its clients, whoever reads this.
    let _ = io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush());

    tokio::select! {
        () = end.wait() => {}
        () = duration::over(args.lifetime) => {}
    }
    hub.shutdown().await;
    if args.json {
        let _ = writeln!(io::stdout(), "{}", json!({"event": "stopped"}));
    }
    ExitCode::SUCCESS
}

/// The configuration from flags, variables and the file, and whether clients need a name.
fn configure(args: &Args) -> Result<(HubConfig, bool), String> {
    let data = match &args.data {
        Some(data) => data.clone(),
        None => dirs::data_dir()
            .map(|dir| dir.join("aldis").join("hub"))
            .ok_or("there is no data directory for this user; name one with `--data DIR`")?,
    };
    let usual_file = data.join("hub.toml");
    let file = match &args.config {
        Some(path) => HubFile::read(path),
        None if usual_file.exists() => HubFile::read(&usual_file),
        None => Ok(HubFile::default()),
    }
    .map_err(|error| error.to_string())?;

    // Where it was said is where it is to be mended.
    let either = |flag: &'static str, given: &Option<String>, key, found: Option<&String>| match (
        given, found,
    ) {
        (Some(text), _) => Some((flag, text.clone())),
        (None, found) => found.map(|text| (key, text.clone())),
    };
    let listen = match either("--listen", &args.listen, "listen =", file.listen.as_ref()) {
        Some((said, text)) => address(said, &text, 1883)?,
        None => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1883),
    };
    let websocket = match either("--ws", &args.ws, "ws =", file.ws.as_ref()) {
        Some((said, text)) => Some(address(said, &text, 8083)?),
        None => None,
    };
    let section = file.tls.as_ref();
    let found = section.and_then(|section| section.listen.as_ref());
    let tls = match either("--tls", &args.tls, "[tls] listen =", found) {
        Some((said, text)) => {
            let cert = args
                .cert
                .as_ref()
                .or(section.and_then(|section| section.cert.as_ref()));
            let key = args
                .key
                .as_ref()
                .or(section.and_then(|section| section.key.as_ref()));
            let (Some(cert), Some(key)) = (cert, key) else {
                return Err("TLS needs a certificate and its key: `--cert FILE --key FILE`".into());
            };
            Some(TlsConfig {
                listen: address(said, &text, 8883)?,
                cert: cert.clone(),
                key: key.clone(),
            })
        }
        None if args.cert.is_some() || args.key.is_some() || section.is_some() => {
            return Err(
                "a certificate and its key are for TLS; say where with `--tls :8883`, or with \
                 `listen` in [tls]"
                    .into(),
            );
        }
        None => None,
    };
    let access = file.access();
    let users = !access.allows_anonymous();
    let config = HubConfig {
        listen,
        websocket,
        tls,
        data: Some(data),
        access,
        limits: file.limits(),
    };
    Ok((config, users))
}

/// Reads `HOST:PORT`, `:PORT`, `HOST` or `PORT`.
pub fn address(flag: &str, text: &str, usual_port: u16) -> Result<SocketAddr, String> {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
        return Ok(SocketAddr::new(ip, usual_port));
    }
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
        return Ok(SocketAddr::new(any, port));
    }
    let wrong = |why: &str| {
        format!("`{flag} {text}`: {why}; write for example 0.0.0.0:{usual_port} or :{usual_port}")
    };
    let (host, port) = match text.rsplit_once(':') {
        // The system's resolver would take it for an address.
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(wrong("the port is not a number from 0 to 65535"));
        }
        Some((host, port)) => match port.parse() {
            Ok(port) => (host, port),
            Err(_) => return Err(wrong("the port is not a number from 0 to 65535")),
        },
        None => (text, usual_port),
    };
    let mut found = (host, port)
        .to_socket_addrs()
        .map_err(|error| wrong(&format!("no such host ({error})")))?
        .collect::<Vec<_>>();
    // mosquitto's tools speak IPv4 first.
    found.sort_by_key(SocketAddr::is_ipv6);
    found
        .into_iter()
        .next()
        .ok_or_else(|| wrong("no such host"))
}

fn announcement(hub: &RunningHub, data: Option<&Path>, users: bool) -> String {
    let mqtt = hub.mqtt_addr();
    let mut text = format!("MQTT 3.1.1 and 5 on {mqtt}\n");
    if let Some(addr) = hub.websocket_addr() {
        let _ = writeln!(text, "WebSocket on ws://{addr}/mqtt");
    }
    if let Some(addr) = hub.tls_addr() {
        let _ = writeln!(text, "TLS on {addr}");
    }
    if let Some(data) = data {
        let _ = writeln!(text, "Data in {}", data.display());
    }
    let (program, credentials) = (
        mosquitto_address(mqtt),
        if users { " -u USER -P PASSWORD" } else { "" },
    );
    let _ = write!(
        text,
        "\nIn other terminals:\n  \
         mosquitto_sub {program}{credentials} -v -t '#'\n  \
         mosquitto_pub {program}{credentials} -t output -m on\n\n\
         Ctrl-C ends the hub.\n"
    );
    text
}

fn announcement_json(hub: &RunningHub, data: Option<&Path>) -> String {
    let text = |addr: SocketAddr| addr.to_string();
    let line = json!({
        "event": "listening",
        "mqtt": text(hub.mqtt_addr()),
        "websocket": hub.websocket_addr().map(text),
        "tls": hub.tls_addr().map(text),
        "data": data,
    });
    format!("{line}\n")
}

/// How mosquitto's programs reach the address, from this machine and, if possible, others.
fn mosquitto_address(addr: SocketAddr) -> String {
    let host = if addr.ip().is_unspecified() {
        own_address().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    } else {
        addr.ip()
    };
    match addr.port() {
        1883 => format!("-h {host}"),
        port => format!("-h {host} -p {port}"),
    }
}

/// The address under which others reach this machine: the one a packet to the outside
/// would carry. None is sent.
pub fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

fn print_hash() -> ExitCode {
    let password = if io::stdin().is_terminal() {
        rpassword::prompt_password("Password: ")
    } else {
        io::stdin()
            .lines()
            .next()
            .unwrap_or_else(|| Ok(String::new()))
    };
    let password = match password {
        Ok(password) if password.is_empty() => {
            return crate::fail("the password is empty; type one, or pipe one in");
        }
        Ok(password) => password,
        Err(error) => return crate::fail(format_args!("cannot read the password: {error}")),
    };
    match hash_password(&password) {
        Ok(hash) => match writeln!(io::stdout(), "{hash}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => crate::fail(format_args!("cannot write the hash: {error}")),
        },
        Err(error) => crate::fail(error),
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    /// A form that people type and that is refused, or is taken for another.
    #[test]
    fn addresses_are_read_in_all_their_forms() {
        for (text, expected) in [
            ("127.0.0.1:1884", "127.0.0.1:1884"),
            (":1884", "0.0.0.0:1884"),
            ("1884", "0.0.0.0:1884"),
            ("127.0.0.1", "127.0.0.1:1883"),
            ("[::1]:0", "[::1]:0"),
            ("::1", "[::1]:1883"),
            ("localhost:7", "127.0.0.1:7"),
        ] {
            let read = address("--listen", text, 1883).unwrap();
            assert_eq!(read.to_string(), expected, "{text}");
        }
    }

    /// An error that only says "invalid" leaves the user guessing.
    #[test]
    fn wrong_addresses_are_explained() {
        for text in [
            "127.0.0.1:70000",
            "localhost:mqtt",
            "no-such-host.invalid:1",
            "99999",
        ] {
            let error = address("--listen", text, 1883).unwrap_err();
            assert!(
                error.contains(text) && error.contains("0.0.0.0:1883"),
                "{error}"
            );
        }
    }
}
