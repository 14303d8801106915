//! The hub that runs.

use std::env;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use aldis_client::Broker;
use aldis_hub::{
    ClusterConfig, Hub, HubConfig, Keyring, Keys, KeysFile, OWNER, OwnerPassword, RunningHub,
    TlsConfig, hash_password,
};
use serde_json::json;

use super::address::{address, lone_port, own_address, usual_host};
use super::notify::{Greeting, Supervisor};
use super::parts::web::typed;
use super::parts::{self, Parts};
use super::place::{self, Certificate, OwnTls, Place, RunningPlace, TLS_PORT};
use super::running::{self, Whereabouts};
use super::unit::Flag;
use super::{Common, hub_file, password};
use crate::signals::EndSignals;
use crate::{duration, logging};

/// The port of MQTT.
pub const PORT: u16 = 1883;

/// How the hub runs.
#[derive(clap::Args)]
#[command(next_help_heading = "The running hub")]
#[group(skip)]
pub struct Args {
    /// Where to speak MQTT; port 0 takes a free port [default: port 1883 of 127.0.0.1 and of ::1]
    #[arg(long, value_name = "ADDR", env = "ALDIS_HUB_LISTEN")]
    listen: Option<String>,
    /// Let other machines in, each with its name and password: listen on all addresses
    #[arg(long, env = "ALDIS_HUB_LAN", value_parser = clap::builder::BoolishValueParser::new())]
    lan: bool,
    /// Let nobody in without a name, not even on this machine
    #[arg(long)]
    no_anonymous: bool,
    /// The configuration file [default: DIR/hub.toml, if it exists]
    #[arg(long, value_name = "FILE", env = "ALDIS_HUB_CONFIG")]
    config: Option<PathBuf>,
    /// Speak MQTT over WebSocket there as well
    #[arg(long, value_name = "ADDR", env = "ALDIS_HUB_WS")]
    ws: Option<String>,
    /// Speak MQTT over TLS there as well
    #[arg(long, value_name = "ADDR", env = "ALDIS_HUB_TLS")]
    tls: Option<String>,
    /// The certificate chain for TLS, in PEM [default: one that the hub makes itself]
    #[arg(long, value_name = "FILE", env = "ALDIS_HUB_CERT")]
    cert: Option<PathBuf>,
    /// The private key for TLS, in PEM
    #[arg(long, value_name = "FILE", env = "ALDIS_HUB_KEY")]
    key: Option<PathBuf>,
    /// Which node of the cluster in the configuration file this hub is
    #[arg(long, value_name = "NUMBER", env = "ALDIS_HUB_NODE")]
    node: Option<u64>,
    /// End after this time: 30s, 5m, 2h, 30d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    lifetime: Option<Duration>,
    /// Say more on standard error; -vv and -vvv say even more
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Read a password, print its hash for hub.toml, and end
    #[arg(long, exclusive = true)]
    hash_password: bool,
    #[command(flatten)]
    place: place::Args,
    #[command(flatten)]
    parts: parts::Args,
}

impl Args {
    /// Whether a flag was typed that means nothing to a command.
    pub fn is_given(&self) -> bool {
        let lan = self.lan && env::var_os("ALDIS_HUB_LAN").is_none();
        lan || self.place.is_given()
            || self.no_anonymous
            || self.lifetime.is_some()
            || self.hash_password
    }

    /// What goes into a unit of the service.
    pub fn unit_flags(&self) -> Result<UnitFlags, String> {
        if self.lifetime.is_some() || self.hash_password {
            return Err("`--for` and `--hash-password` are not for a service".to_owned());
        }
        let mut flags = Vec::new();
        let value =
            |name, value: &Option<String>| value.clone().map(|value| Flag::Value(name, value));
        let file = |name, path: &Option<PathBuf>| path.clone().map(|path| Flag::File(name, path));
        let switch = |name, on: bool| on.then_some(Flag::Switch(name));
        flags.extend(switch("--lan", self.lan));
        flags.extend(switch("--no-anonymous", self.no_anonymous));
        flags.extend(value("--listen", &self.listen));
        flags.extend(value("--ws", &self.ws));
        flags.extend(value("--tls", &self.tls));
        let node = self.node.map(|node| node.to_string());
        flags.extend(value("--node", &node));
        flags.extend(file("--config", &self.config));
        flags.extend(file("--cert", &self.cert));
        flags.extend(file("--key", &self.key));
        flags.extend((0..self.verbose).map(|_| Flag::Switch("-v")));
        self.place.unit_flags(&mut flags);
        self.parts.unit_flags(&mut flags);
        let addresses = [
            ("--listen", &self.listen, PORT),
            ("--ws", &self.ws, 8083),
            ("--tls", &self.tls, TLS_PORT),
        ];
        let mut low_port = false;
        for (flag, text, usual) in addresses {
            if let Some(text) = text {
                low_port |= (1..1024).contains(&address(flag, text, usual, self.lan)?.port());
            }
        }
        Ok(UnitFlags { flags, low_port })
    }
}

/// What goes into a unit of the service.
pub struct UnitFlags {
    pub flags: Vec<Flag>,
    /// Whether a port below 1024 is among them.
    pub low_port: bool,
}

/// Runs the hub until a signal or the end of its time.
pub fn run(args: Args, common: &Common) -> ExitCode {
    if args.hash_password {
        return print_hash();
    }
    // What the hub keeps is for its user alone: messages are read by whoever reads its files.
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    logging::start(args.verbose);
    let plan = match plan(&args, common) {
        Ok(plan) => plan,
        Err(what) => return crate::fail(what),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return crate::fail(format_args!("cannot start: {error}")),
    };
    runtime.block_on(serve(&args, common, plan))
}

/// What is to run.
struct Plan {
    config: HubConfig,
    data: PathBuf,
    keys: Keyring,
    parts: parts::Plan,
    place: place::Plan,
}

async fn serve(args: &Args, common: &Common, plan: Plan) -> ExitCode {
    // Before anything is announced, so that a signal right after it is not missed.
    let end = match EndSignals::listen() {
        Ok(end) => end,
        Err(error) => return crate::fail(format_args!("cannot listen to signals: {error}")),
    };
    let mut supervisor = Supervisor::from_env();
    let Plan {
        mut config,
        data,
        keys,
        parts: mut beside,
        place,
    } = plan;
    let place = match Place::prepare(place, &data).await {
        Ok(place) => place,
        Err(what) => return crate::fail(what),
    };
    beside.secure(&place);
    if let Some(broker) = beside.broker.clone() {
        let scene = parts::Scene {
            broker,
            data,
            keys,
            set_password: common.typed("password"),
        };
        let elsewhere = Elsewhere {
            scene,
            place,
            end,
            supervisor,
        };
        return serve_elsewhere(args, common, &beside, elsewhere).await;
    }
    if config.tls.is_none() {
        config.tls = place.tls();
    }
    let anonymous = config.access.allows_anonymous();
    let part = config.cluster.clone();
    if part.is_some() {
        // It may have to wait longer than any start may take.
        supervisor.ready("waiting for the cluster", None);
    }
    let mut end = pin!(end.wait());
    // Until a cluster is there it may take for ever.
    let started = tokio::select! {
        started = Hub::start(config) => started,
        () = &mut end => return stopped(common),
        () = duration::over(args.lifetime) => return stopped(common),
    };
    let mut hub = match started {
        Ok(hub) => hub,
        Err(error) => return crate::fail(error),
    };
    let (username, password) = hub.inner();
    let at = SocketAddr::new(reachable(hub.mqtt_addr()), hub.mqtt_addr().port());
    let greeting = Greeting::new(at, hub.inner());
    let broker = Broker {
        username: Some(username),
        password: Some(password),
        ..Broker::new(at.ip().to_string(), at.port())
    };
    let scene = parts::Scene {
        broker,
        data: data.clone(),
        keys: keys.clone(),
        set_password: common.typed("password"),
    };
    let mut parts = match Parts::start(&beside, scene).await {
        Ok(parts) => parts,
        Err(what) => {
            hub.shutdown().await;
            return crate::fail(what);
        }
    };
    // Last, as nothing may go wrong between its being kept and its being told.
    let owner = match first_owner(&data) {
        Ok(owner) => owner,
        Err(what) => {
            parts.shutdown().await;
            hub.shutdown().await;
            return crate::fail(what);
        }
    };
    keys.refresh();
    let web = [
        ("_http._tcp", parts.dashboard),
        ("_https._tcp", parts.secure_dashboard),
    ];
    let web = web
        .into_iter()
        .filter_map(|(kind, addr)| Some(place::service(kind, addr?)));
    let mut place = place.announce(&hub, web.collect());
    let whereabouts = Whereabouts {
        mqtt: hub.mqtt_addr(),
        tls: hub.tls_addr(),
    };
    let _told = running::tell(&data, &whereabouts).await;
    let scene = Announcement {
        common,
        hub: &hub,
        place: &place,
        data: &data,
        store: parts.store.as_deref(),
        is_recording: parts.is_recording(),
        dashboard: parts.dashboard,
        secure_dashboard: parts.secure_dashboard,
        keys: &keys.current(),
        owner: owner.as_ref().map(|owner| owner.password.expose()),
        anonymous,
        part: part.as_ref(),
    };
    let text = match common.json {
        true => scene.json(),
        false => scene.text(),
    };
    tell(&text, common, &data, &keys, owner.as_ref());
    drop((text, owner));
    supervisor.ready(&format!("MQTT on {}", hub.mqtt_addr()), Some(greeting));

    let failed = tokio::select! {
        () = &mut end => None,
        () = duration::over(args.lifetime) => None,
        error = hub.ended() => Some(error.to_string()),
        ended = parts.ended() => Some(ended),
        ended = place.ended() => Some(ended),
        ended = supervisor.ended() => Some(ended),
    };
    supervisor.stopping();
    // Whoever reads the farewell and asks again is answered no more.
    tokio::join!(place.shutdown(), parts.shutdown());
    hub.shutdown().await;
    match failed {
        Some(error) => crate::fail(error),
        None => stopped(common),
    }
}

/// A broker that is another program, and who wants to hear of the hub.
struct Elsewhere {
    scene: parts::Scene,
    /// Its certificate is looked after as long as this lives.
    place: Place,
    end: EndSignals,
    supervisor: Supervisor,
}

/// The parts beside a broker that is another program.
async fn serve_elsewhere(
    args: &Args,
    common: &Common,
    plan: &parts::Plan,
    elsewhere: Elsewhere,
) -> ExitCode {
    let Elsewhere {
        scene,
        mut place,
        end,
        mut supervisor,
    } = elsewhere;
    let _reserved = match parts::reserve(&scene.data) {
        Ok(reserved) => reserved,
        Err(what) => return crate::fail(what),
    };
    let (url, data, keys) = (scene.broker.url(), scene.data.clone(), scene.keys.clone());
    let mut running = match Parts::start(plan, scene).await {
        Ok(running) => running,
        Err(what) => return crate::fail(what),
    };
    let owner = match first_owner(&data) {
        Ok(owner) => owner,
        Err(what) => {
            running.shutdown().await;
            return crate::fail(what);
        }
    };
    keys.refresh();
    let mut text = String::new();
    let password = owner.as_ref().map(|owner| owner.password.expose());
    if common.json {
        let line = json!({
            "event": "working",
            "broker": url,
            "data": data,
            "store": running.store,
            "recording": running.store.is_some() && running.is_recording(),
            "dashboard": running.dashboard.map(|addr| addr.to_string()),
            "secure_dashboard": running.secure_dashboard.map(|addr| addr.to_string()),
        });
        let _ = writeln!(text, "{line}");
        if let Some(password) = password {
            let line = json!({"event": "owner", "user": OWNER, "password": password});
            let _ = writeln!(text, "{line}");
        }
    } else {
        let _ = writeln!(text, "At the broker {url}");
        let _ = match &running.store {
            Some(store) => writeln!(text, "{}", recording(store, running.is_recording())),
            None => writeln!(text, "Nothing is recorded."),
        };
        if let Some(addr) = running.secure_dashboard {
            let _ = writeln!(text, "Dashboard on https://{}", typed(addr));
        }
        if let Some(addr) = running.dashboard {
            let _ = writeln!(text, "Dashboard on http://{}", typed(addr));
        }
        if let Some(password) = password {
            let _ = write!(
                text,
                "\nThe owner's password for the dashboard, shown this once:\n\n  {password}\n\n\
                 `{}` sets another.\n",
                common.typed("password")
            );
        }
        text.push_str("\nCtrl-C ends the hub.\n");
    }
    tell(&text, common, &data, &keys, owner.as_ref());
    drop((text, owner));
    supervisor.ready(&format!("at the broker {url}"), None);
    let failed = tokio::select! {
        () = end.wait() => None,
        () = duration::over(args.lifetime) => None,
        ended = running.ended() => Some(ended),
        ended = place.ended() => Some(ended),
        ended = supervisor.ended() => Some(ended),
    };
    supervisor.stopping();
    running.shutdown().await;
    match failed {
        Some(error) => crate::fail(error),
        None => stopped(common),
    }
}

fn stopped(common: &Common) -> ExitCode {
    if common.json {
        let _ = writeln!(io::stdout(), "{}", json!({"event": "stopped"}));
    }
    ExitCode::SUCCESS
}

/// Where it is recorded, or will be.
fn recording(store: &str, is_recording: bool) -> String {
    match is_recording {
        true => format!("Recording in {store}"),
        false => format!("Recording in {store} as soon as that is there"),
    }
}

/// Where the hub's own parts reach what listens there.
fn reachable(addr: SocketAddr) -> IpAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// The owner's password that was just made, and what is kept of it.
struct FirstOwner {
    password: OwnerPassword,
    hash: String,
}

/// Makes the owner's password at the first start, if there is somebody to see it.
fn first_owner(data: &Path) -> Result<Option<FirstOwner>, String> {
    // The journal keeps what it is told, and others may read it.
    if env::var("JOURNAL_STREAM").is_ok_and(|stream| is_ours(&stream)) {
        return Ok(None);
    }
    let made = KeysFile::of(data).update(|keys| {
        if keys.owner.is_some() {
            return Ok(None);
        }
        let password = OwnerPassword::generate();
        let hash = password.hash().map_err(|error| error.to_string())?;
        keys.owner = Some(hash.clone());
        Ok(Some(FirstOwner { password, hash }))
    });
    made.map_err(|error| error.to_string())
}

/// Whether what is said here goes to this stream, `DEVICE:INODE`. A program that a service starts
/// inherits the variable, though it may speak to a terminal.
#[cfg(unix)]
fn is_ours(stream: &str) -> bool {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let of = |fd: std::os::fd::BorrowedFd<'_>| {
        let file = File::from(fd.try_clone_to_owned().ok()?);
        let metadata = file.metadata().ok()?;
        Some(format!("{}:{}", metadata.dev(), metadata.ino()))
    };
    let ours = [of(io::stdout().as_fd()), of(io::stderr().as_fd())];
    ours.into_iter().flatten().any(|ours| ours == stream)
}

#[cfg(not(unix))]
fn is_ours(_stream: &str) -> bool {
    false
}

/// Says it. The hub serves its clients, whoever reads this; but a password that nobody saw is
/// taken back.
fn tell(text: &str, common: &Common, data: &Path, keys: &Keyring, owner: Option<&FirstOwner>) {
    let mut stdout = io::stdout();
    let told = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    let (Err(error), Some(owner)) = (told, owner) else {
        return;
    };
    let taken_back = KeysFile::of(data).update(|keys| {
        // Somebody may have set another meanwhile.
        if keys.owner.as_ref() == Some(&owner.hash) {
            keys.owner = None;
        }
        Ok(())
    });
    keys.refresh();
    let command = common.typed("password");
    match taken_back {
        Ok(()) => tracing::error!(
            "the owner's password could not be shown ({error}), so there is none yet: `{command}` \
             sets one"
        ),
        Err(why) => tracing::error!(
            "the owner's password could not be shown ({error}) nor taken back ({why}): \
             `{command}` sets another"
        ),
    }
}

/// What runs according to flags, variables and files.
fn plan(args: &Args, common: &Common) -> Result<Plan, String> {
    let data = common.data()?;
    let keys = Keyring::open(&data).map_err(|error| error.to_string())?;
    let file = hub_file(&data, args.config.as_deref(), &keys.current())?;
    let lan = args.lan || file.lan.unwrap_or(false);

    // Where it was said is where it is to be mended.
    let either = |flag: &'static str, given: &Option<String>, key, found: Option<&String>| match (
        given, found,
    ) {
        (Some(text), _) => Some((flag, text.clone())),
        (None, found) => found.map(|text| (key, text.clone())),
    };
    let (listen, listen_also) =
        match either("--listen", &args.listen, "listen =", file.listen.as_ref()) {
            Some((said, text)) => {
                let port = lone_port(&text).filter(|port| *port != 0);
                (address(said, &text, PORT, lan)?, port)
            }
            None => (SocketAddr::new(usual_host(lan), PORT), Some(PORT)),
        };
    // `localhost` is either of two addresses.
    let listen_also = listen_also.map(|port| SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
    let websocket = match either("--ws", &args.ws, "ws =", file.ws.as_ref()) {
        Some((said, text)) => Some(address(said, &text, 8083, lan)?),
        None => None,
    };
    let section = file.tls.as_ref();
    let found = section.and_then(|section| section.listen.as_ref());
    let mut own_tls = None;
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
            let listen = address(said, &text, TLS_PORT, lan)?;
            match (cert, key) {
                (Some(cert), Some(key)) => Some(TlsConfig {
                    listen,
                    cert: cert.clone(),
                    key: key.clone(),
                }),
                (None, None) => {
                    own_tls = Some(OwnTls {
                        listen,
                        asked: true,
                    });
                    None
                }
                _ => {
                    return Err(
                        "a certificate needs its key: `--cert FILE --key FILE`, or neither of \
                         them, and the hub makes its own"
                            .into(),
                    );
                }
            }
        }
        None if args.cert.is_some() || args.key.is_some() || section.is_some() => {
            return Err(
                "a certificate and its key are for TLS; say where with `--tls :8883`, or with \
                 `listen` in [tls]"
                    .into(),
            );
        }
        // With others in, the way that nobody can listen to is open to them.
        None if lan && listen.ip().is_unspecified() => {
            let port = if listen.port() == 0 { 0 } else { TLS_PORT };
            own_tls = Some(OwnTls {
                listen: SocketAddr::new(listen.ip(), port),
                asked: false,
            });
            None
        }
        None => None,
    };
    let mut access = file.access();
    if args.no_anonymous {
        access.anonymous = Some(false);
    }
    let cluster = match (args.node, file.cluster.clone()) {
        (node, Some(section)) => Some(ClusterConfig {
            node: node.or(section.node).ok_or(
                "[cluster]: which of its nodes is this hub? Say it with `node = 1` there, or with \
                 `--node 1`",
            )?,
            nodes: section.nodes,
        }),
        (Some(_), None) => {
            return Err(
                "`--node` is for a cluster: list its nodes in hub.toml, each as \
                 `[[cluster.nodes]]` with `id`, `grpc` and `raft`"
                    .into(),
            );
        }
        (None, None) => None,
    };
    let config = HubConfig {
        listen,
        listen_also,
        websocket,
        tls,
        data: Some(data.clone()),
        access,
        keys: Some(keys.clone()),
        limits: file.limits(),
        cluster,
    };
    let parts = parts::Plan::new(&args.parts, &file, &data, lan)?;
    let certificate = match &config.tls {
        _ if !parts.is_open() => Certificate::None,
        Some(tls) => Certificate::Given {
            cert: tls.cert.clone(),
            key: tls.key.clone(),
        },
        None => Certificate::Own,
    };
    let place = place::Plan::new(&args.place, own_tls, certificate)?;
    Ok(Plan {
        config,
        data,
        keys,
        parts,
        place,
    })
}

/// What is said of a hub that runs.
struct Announcement<'a> {
    common: &'a Common,
    hub: &'a RunningHub,
    place: &'a RunningPlace,
    data: &'a Path,
    /// Where it is recorded.
    store: Option<&'a str>,
    /// Whether the store is there.
    is_recording: bool,
    /// Where the dashboard is.
    dashboard: Option<SocketAddr>,
    secure_dashboard: Option<SocketAddr>,
    keys: &'a Keys,
    /// The owner's password, if it was just made.
    owner: Option<&'a str>,
    /// Whether the files and flags let clients of this machine in without a name.
    anonymous: bool,
    /// The cluster that it is a part of.
    part: Option<&'a ClusterConfig>,
}

impl Announcement<'_> {
    fn anonymous(&self) -> bool {
        self.anonymous && self.keys.anonymous
    }

    /// Whether other machines reach it.
    fn is_open(&self) -> bool {
        let hub = self.hub;
        let others = [hub.mqtt_addr_also(), hub.websocket_addr(), hub.tls_addr()];
        let mut all = others.into_iter().flatten().chain([hub.mqtt_addr()]);
        all.any(|addr| !addr.ip().is_loopback())
    }

    fn text(&self) -> String {
        let (hub, mqtt) = (self.hub, self.hub.mqtt_addr());
        let mut text = format!("MQTT 3.1.1 and 5 on {mqtt}");
        if let Some(addr) = hub.mqtt_addr_also() {
            let _ = write!(text, " and {addr}");
        }
        text.push('\n');
        if let Some(addr) = hub.websocket_addr() {
            let _ = writeln!(text, "WebSocket on ws://{addr}/mqtt");
        }
        if let Some(addr) = hub.tls_addr() {
            let _ = writeln!(text, "TLS on {addr}");
        }
        if let Some(part) = self.part {
            let all = part.nodes.len();
            let _ = writeln!(text, "Node {} of a cluster of {all}", part.node);
        }
        if let Some(name) = &self.place.name {
            let _ = writeln!(text, "In the network {name}");
        }
        let _ = writeln!(text, "Data in {}", self.data.display());
        if let Some(store) = self.store {
            let _ = writeln!(text, "{}", recording(store, self.is_recording));
        }
        if let Some(addr) = self.secure_dashboard {
            let _ = writeln!(text, "Dashboard on https://{}", typed(addr));
        }
        if let Some(addr) = self.dashboard {
            let _ = writeln!(text, "Dashboard on http://{}", typed(addr));
        }
        let _ = match self.is_open() {
            true => writeln!(
                text,
                "Other machines come in by name and password: `{}` adds a device.",
                self.common.typed("pair")
            ),
            false => writeln!(
                text,
                "For this machine alone; `{}` lets others in, by name and password.",
                self.common.typed("--lan")
            ),
        };
        let set = self.common.typed("password");
        match (self.owner, &self.keys.owner) {
            (Some(password), _) => {
                let _ = write!(
                    text,
                    "\nThe owner's password, shown this once:\n\n  {password}\n\n\
                     With it the user `{OWNER}` may do everything, and signs in to the dashboard. Keep it in a safe place; \
                     `{set}` sets another.\n"
                );
            }
            (None, None) => {
                let _ = writeln!(
                    text,
                    "\nThe hub has no owner's password yet: `{set}` sets one."
                );
            }
            (None, Some(_)) => {}
        }
        let host = match mqtt.ip() {
            ip if ip.is_unspecified() && self.anonymous() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip if ip.is_unspecified() => own_address().unwrap_or(Ipv4Addr::LOCALHOST.into()),
            ip => ip,
        };
        let mut program = format!("-h {host}");
        if mqtt.port() != PORT {
            let _ = write!(program, " -p {}", mqtt.port());
        }
        if !self.anonymous() || !host.is_loopback() {
            let _ = write!(program, " -u {OWNER} -P PASSWORD");
        }
        let _ = write!(
            text,
            "\nIn other terminals:\n  \
             mosquitto_sub {program} -v -t '#'\n  \
             mosquitto_pub {program} -t output -m on\n\n\
             Ctrl-C ends the hub.\n"
        );
        text
    }

    fn json(&self) -> String {
        let (hub, text) = (self.hub, |addr: SocketAddr| addr.to_string());
        let line = json!({
            "event": "listening",
            "mqtt": text(hub.mqtt_addr()),
            "mqtt_also": hub.mqtt_addr_also().map(text),
            "websocket": hub.websocket_addr().map(text),
            "tls": hub.tls_addr().map(text),
            "ca": self.place.ca,
            "name": self.place.name,
            "data": self.data,
            "store": self.store,
            "recording": self.store.is_some() && self.is_recording,
            "dashboard": self.dashboard.map(text),
            "secure_dashboard": self.secure_dashboard.map(text),
            "anonymous": self.anonymous(),
            "node": self.part.map(|part| part.node),
        });
        let mut lines = format!("{line}\n");
        if let Some(password) = self.owner {
            let line = json!({"event": "owner", "user": OWNER, "password": password});
            let _ = writeln!(lines, "{line}");
        }
        lines
    }
}

fn print_hash() -> ExitCode {
    let hash = password::read(false)
        .and_then(|password| hash_password(&password).map_err(|error| error.to_string()));
    match hash {
        Ok(hash) => match writeln!(io::stdout(), "{hash}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => crate::fail(format_args!("cannot write the hash: {error}")),
        },
        Err(error) => crate::fail(error),
    }
}
