//! `aldis hub pair`: gives a device its key, its rights and its file.

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use aldis_hub::{Device, DevicePassword, Keys, KeysError, KeysFile, check_device_id};
use aldis_pc::Config;
use serde_json::{Value, json};

use super::address::{address, own_address};
use super::device_file::{self, Entry};
use super::serve::PORT;
use super::{Common, hub_file, qr, running, say};
use crate::image::NewFile;
use crate::shell;

/// Add a device: its credentials and its device.toml
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    aldis hub pair kitchen\n  \
    aldis hub pair kitchen --lan --config my-board.toml --out kitchen.toml\n  \
    aldis hub pair attic --peer kitchen --out attic.toml\n  \
    aldis hub pair kitchen --peer attic\n  \
    aldis hub pair kitchen --renew --out kitchen.toml --force\n\n\
    A hub that runs takes the device up within a second. The password is in device.toml and \
    nowhere else.")]
pub struct Args {
    /// The device's id [default: the one in --config, or a new one]
    id: Option<String>,
    /// Let it send messages to this device; may be repeated
    #[arg(long, value_name = "ID")]
    peer: Vec<String>,
    /// Settings of the device, which its file takes over (with the broker's address, unless --lan or
    /// --host says another)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to write the device's file; - is standard output
    #[arg(long, value_name = "FILE", default_value = "device.toml")]
    out: PathBuf,
    /// Write the file over one that is there, and take over its settings
    #[arg(long)]
    force: bool,
    /// Give a device that is paired a new password; the old one ends at once
    #[arg(long)]
    renew: bool,
    /// Write this machine's address in the network into the file
    #[arg(long, conflicts_with = "host")]
    lan: bool,
    /// Write this host into the file, such as hub.local or 192.168.1.107:1884
    #[arg(long, value_name = "HOST[:PORT]")]
    host: Option<String>,
    /// Show a QR code of what the device needs, even where standard output is no terminal
    #[arg(long)]
    qr: bool,
    /// Show no QR code
    #[arg(long, conflicts_with = "qr")]
    no_qr: bool,
}

/// What was done.
struct Paired {
    id: String,
    /// The text of the device's file, and where its broker is.
    file: Option<Written>,
    /// The peers that may not answer it.
    mute: Vec<String>,
    /// The device to which its presets go, and to which it may not send.
    out_of_reach: Option<String>,
    peers: Vec<String>,
}

struct Written {
    text: String,
    short: String,
    url: Url,
    /// The file beside its place, until the key is kept.
    ready: Option<NewFile>,
    /// What is kept of the password.
    hash: String,
    /// What was kept of the device before.
    before: Option<Device>,
}

/// Pairs it.
pub fn run(args: &Args, common: &Common) -> Result<(), String> {
    let data = common.data()?;
    let template = match &args.config {
        Some(path) => Some(device_file::read(path)?),
        // The network and the pins of a board are not lost.
        None if args.force && !is_stdout(&args.out) && args.out.exists() => {
            let read = device_file::read(&args.out);
            Some(read.map_err(|what| format!("{what}\nMend the file, or remove it."))?)
        }
        None => None,
    };
    let config = template.as_ref().map(|(config, _)| config);
    let id = match (&args.id, config.and_then(|config| config.id.as_ref())) {
        (Some(id), _) | (None, Some(id)) => id.clone(),
        (None, None) => new_id(),
    };
    check_device_id(&id).map_err(|what| format!("`{id}`: {what}"))?;
    for peer in &args.peer {
        check_device_id(peer).map_err(|what| format!("`--peer {peer}`: {what}"))?;
        if *peer == id {
            return Err(format!("`--peer {peer}`: that is the device itself"));
        }
    }
    let file = KeysFile::of(&data);
    let mut paired = file
        .update(|keys| pair(args, &data, template.as_ref(), &id, keys))
        .map_err(|error| match error {
            error @ KeysError::Write { .. } => format!("{error}; nothing was paired"),
            error => error.to_string(),
        })?;
    let delivered = deliver(args, common, &mut paired);
    if let (Err(why), Some(written)) = (&delivered, &paired.file) {
        return Err(take_back(&file, common, &id, written, why));
    }
    delivered?;
    report(args, common, &paired)
}

/// Brings the device's password to where it is to be: it is nowhere else.
fn deliver(args: &Args, common: &Common, paired: &mut Paired) -> Result<(), String> {
    let Some(file) = &mut paired.file else {
        return Ok(());
    };
    if let Some(ready) = file.ready.take() {
        return ready.keep().map_err(said_for_pair);
    }
    let text = match common.json {
        true => format!("{}\n", line(args, &paired.id, &paired.peers, file)),
        false => file.text.clone(),
    };
    let mut stdout = io::stdout();
    let written = stdout.write_all(text.as_bytes());
    let written = written.and_then(|()| stdout.flush());
    written.map_err(|error| format!("cannot write to standard output: {error}"))
}

/// Takes a password back that nobody got.
fn take_back(file: &KeysFile, common: &Common, id: &str, written: &Written, why: &str) -> String {
    let taken_back = file.update(|keys| {
        // Somebody may have given it another meanwhile.
        let is_ours = |device: &Device| device.password == written.hash;
        if keys.devices.get(id).is_some_and(is_ours) {
            match &written.before {
                Some(before) => keys.devices.insert(id.to_owned(), before.clone()),
                None => keys.devices.remove(id),
            };
        }
        Ok(())
    });
    match taken_back {
        Ok(()) => format!("{why}; nothing was paired"),
        Err(error) => format!(
            "{why}; and it could not be undone: {error}. `{id}` has a key that nobody got: `{}`",
            common.typed(&format!("pair {id} --renew"))
        ),
    }
}

/// Changes the keys, and writes the file if the device got a password.
fn pair(
    args: &Args,
    data: &Path,
    template: Option<&(Config, String)>,
    id: &str,
    keys: &mut Keys,
) -> Result<Paired, String> {
    let is_new = !keys.devices.contains_key(id);
    if !is_new && !args.renew && args.peer.is_empty() {
        return Err(format!(
            "`{id}` is paired already: `--renew` gives it a new password, `--peer ID` lets it send \
             to another device"
        ));
    }
    if is_new && args.renew {
        return Err(format!("`{id}` is not paired yet: leave `--renew` out"));
    }
    let needs_password = is_new || args.renew;
    if !needs_password && (args.force || args.config.is_some() || args.host.is_some() || args.lan) {
        return Err(format!(
            "`{id}` keeps its password, so there is no file to be written: with `--renew` it gets \
             both"
        ));
    }
    let hub = hub_file(data, None, keys)?;
    if hub.user.iter().any(|user| user.name == id) {
        return Err(format!(
            "`{id}` is a user in hub.toml already; choose another id, or remove that user"
        ));
    }
    let config = template.map(|(config, _)| config);
    let password = DevicePassword::generate();
    let mut device = match keys.devices.get(id) {
        Some(device) => device.clone(),
        None => Device {
            created: Some(now()),
            ..Device::new(String::new())
        },
    };
    if let Some(config) = config {
        device.prefix.clone_from(&config.prefix);
        device.readout.clone_from(&config.readout.topic);
        device.command.clone_from(&config.readout.command_topic);
    }
    for peer in &args.peer {
        if !device.peers.contains(peer) {
            device.peers.push(peer.clone());
        }
    }
    let mut file = None;
    if needs_password {
        device.password = password.hash().map_err(|error| error.to_string())?;
        device.check(id)?;
        let running = running::look(data).map(|running| running.mqtt);
        let url = url(args, running, hub.listen.as_deref(), config)?;
        let entry = Entry {
            id,
            url: &url.text,
            password: password.expose(),
            peer: match args.peer.as_slice() {
                [peer] => Some(peer),
                _ => None,
            },
        };
        let text = device_file::compose(&entry, template.map(|(_, text)| text.as_str()))?;
        let short = device_file::in_short(&entry);
        // What cannot be kept is not paired.
        let ready = write(args, &text)?;
        file = Some(Written {
            text,
            short,
            url,
            ready,
            hash: device.password.clone(),
            before: keys.devices.get(id).cloned(),
        });
    }
    let answers = |peer: &&String| {
        let peer = keys.devices.get(*peer);
        peer.is_some_and(|peer| peer.peers.iter().any(|of| of == id))
    };
    let mute = device.peers.iter().filter(|peer| !answers(peer));
    let mute = mute.cloned().collect();
    let presets = config.and_then(|config| config.messages.peer.clone());
    let paired = Paired {
        id: id.to_owned(),
        file,
        mute,
        out_of_reach: presets.filter(|peer| !device.peers.contains(peer)),
        peers: device.peers.clone(),
    };
    keys.devices.insert(id.to_owned(), device);
    Ok(paired)
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Writes the device's file beside its place, unless it goes to standard output.
fn write(args: &Args, text: &str) -> Result<Option<NewFile>, String> {
    if is_stdout(&args.out) {
        return Ok(None);
    }
    if args.out.exists() && !args.force {
        return Err(format!(
            "{} is there already: `--out FILE` writes another, `--force` this one anew; nothing \
             was paired",
            args.out.display()
        ));
    }
    let ready = NewFile::write(&args.out, text.as_bytes());
    ready
        .map(Some)
        .map_err(|what| format!("{}; nothing was paired", said_for_pair(what)))
}

/// What is said about a file, with the flag of this command.
fn said_for_pair(what: String) -> String {
    what.replace("--output", "--out")
}

/// Where the device is told that its broker is.
struct Url {
    text: String,
    /// Only programs of this machine find it.
    is_local: bool,
    /// The hub that runs is for its machine alone.
    is_closed: bool,
}

/// The hub that runs may have been told by flags and variables where to listen.
fn url(
    args: &Args,
    running: Option<SocketAddr>,
    listen: Option<&str>,
    config: Option<&Config>,
) -> Result<Url, String> {
    let listen = match (running, listen) {
        (Some(running), _) => Some(running),
        (None, Some(text)) => Some(address("listen =", text, PORT, false)?),
        (None, None) => None,
    };
    let is_closed = running.is_some_and(|running| running.ip().is_loopback());
    let port = listen.map(|addr| addr.port()).filter(|port| *port != 0);
    let port = port.unwrap_or(PORT);
    if let Some(host) = &args.host {
        return Ok(Url {
            text: match host.rsplit_once(':') {
                Some((_, digits)) if digits.parse::<u16>().is_ok() => format!("mqtt://{host}"),
                _ => format!("mqtt://{host}:{port}"),
            },
            is_local: false,
            is_closed,
        });
    }
    let own = listen
        .map(|addr| addr.ip())
        .filter(|ip| !ip.is_unspecified());
    let of = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => format!("mqtt://{ip}:{port}"),
        IpAddr::V6(ip) => format!("mqtt://[{ip}]:{port}"),
    };
    if args.lan {
        let ip = own.filter(|ip| !ip.is_loopback()).or_else(own_address);
        return match ip.filter(|ip| !ip.is_loopback()) {
            Some(ip) => Ok(Url {
                text: of(ip),
                is_local: false,
                is_closed,
            }),
            None => Err(
                "this machine's address in the network is not known; write it with `--host`"
                    .to_owned(),
            ),
        };
    }
    if let Some(url) = config.and_then(|config| config.broker.url.as_ref()) {
        let mut url = url.clone();
        (url.username, url.password) = (None, None);
        return Ok(Url {
            text: url.to_string(),
            is_local: false,
            is_closed,
        });
    }
    let ip = own.unwrap_or(Ipv4Addr::LOCALHOST.into());
    Ok(Url {
        text: of(ip),
        is_local: ip.is_loopback(),
        is_closed,
    })
}

/// What programs are told.
fn line(args: &Args, id: &str, peers: &[String], file: &Written) -> Value {
    let (place, what) = match is_stdout(&args.out) {
        true => ("device", json!(file.text)),
        false => ("file", json!(args.out)),
    };
    json!({"event": "paired", "id": id, "peers": peers, "broker": file.url.text, place: what})
}

fn report(args: &Args, common: &Common, paired: &Paired) -> Result<(), String> {
    let Paired {
        id, file, peers, ..
    } = paired;
    let to_stdout = is_stdout(&args.out);
    match (file, common.json) {
        // It is there already.
        (Some(_), _) if to_stdout => {}
        (Some(file), true) => say(line(args, id, peers, file))?,
        (None, true) => say(json!({"event": "paired", "id": id, "peers": peers}))?,
        (_, false) => {
            for line in words(args, common, paired) {
                say(line)?;
            }
        }
    }
    let shown =
        args.qr || (io::stdout().is_terminal() && !args.no_qr && !common.json && !to_stdout);
    if let Some(file) = file.as_ref().filter(|_| shown) {
        say(format_args!(
            "\nThe same as a QR code, with the password:\n\n{}",
            qr::picture(&file.short)?
        ))?;
    }
    Ok(())
}

fn words(args: &Args, common: &Common, paired: &Paired) -> Vec<String> {
    let Paired { id, file, .. } = paired;
    let out = shell::quoted(&args.out.to_string_lossy());
    let mut lines = Vec::new();
    match file {
        Some(file) => {
            lines.push(format!(
                "{id} is paired. Its settings and its password are in {out}, and the password is \
                 nowhere else."
            ));
            lines.push(format!(
                "\n  aldis device --config {out}      runs it as a program"
            ));
            lines.push(format!("  aldis flash --config {out} ...   writes it to a board, when [wifi] is filled in\n"));
            let (url, lan) = (&file.url.text, common.typed("--lan"));
            lines.push(match (file.url.is_local, file.url.is_closed) {
                (true, _) => format!(
                    "Its broker is {url}, which only this machine reaches. For a board, start the \
                     hub with `{lan}` and pair with `--lan`."
                ),
                (false, true) => format!(
                    "Its broker is {url}, but the hub that runs is for this machine alone: start \
                     it with `{lan}`."
                ),
                (false, false) => format!(
                    "Its broker is {url}. Other machines reach the hub if it was started with \
                     `{lan}`."
                ),
            });
        }
        None => lines.push(format!("{id} keeps its password.")),
    }
    if !paired.peers.is_empty() {
        lines.push(format!(
            "It may send messages to {}.",
            paired.peers.join(", ")
        ));
    }
    for peer in &paired.mute {
        lines.push(format!(
            "{peer} may not answer it; to change that: {}",
            common.typed(&format!("pair {peer} --peer {id}"))
        ));
    }
    if let Some(peer) = &paired.out_of_reach {
        lines.push(format!(
            "Its presets go to {peer}, to which it may not send; to change that: {}",
            common.typed(&format!("pair {id} --peer {peer}"))
        ));
    }
    lines
}

/// An id for a device that has none.
fn new_id() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstvwxyz23456789";
    let letter = |_| char::from(*fastrand::choice(LETTERS).unwrap_or(&b'a'));
    let letters: String = (0..6).map(letter).collect();
    format!("device-{letters}")
}

/// This second, in RFC 3339.
fn now() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
