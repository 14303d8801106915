//! `aldis hub pair`: gives a device its key, its rights and its file.

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use aldis_hub::{Device, DevicePassword, Keys, KeysFile, check_device_id};
use aldis_pc::Config;
use serde_json::{Value, json};

use super::address::{address, own_address};
use super::device_file::{self, Entry};
use super::serve::PORT;
use super::{Common, hub_file, qr, say};
use crate::image::replace_file;

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
    url: String,
    is_local: bool,
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
    let paired = KeysFile::of(&data)
        .update(|keys| pair(args, &data, &id, template.as_ref(), keys))
        .map_err(|error| error.to_string())?;
    report(args, common, &paired)
}

/// Changes the keys, and writes the file if the device got a password.
fn pair(
    args: &Args,
    data: &Path,
    id: &str,
    template: Option<&(Config, String)>,
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
        let listen = hub.listen.as_deref();
        let url = url(args, listen, config)?;
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
        write(args, &text)?;
        file = Some(Written {
            text,
            short,
            url: url.text,
            is_local: url.is_local,
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

fn write(args: &Args, text: &str) -> Result<(), String> {
    if is_stdout(&args.out) {
        return Ok(());
    }
    if args.out.exists() && !args.force {
        return Err(format!(
            "{} is there already: `--out FILE` writes another, `--force` this one anew; nothing \
             was paired",
            args.out.display()
        ));
    }
    replace_file(&args.out, text.as_bytes()).map_err(|what| what.replace("--output", "--out"))
}

/// Where the device is told that its broker is.
struct Url {
    text: String,
    /// Only programs of this machine find it.
    is_local: bool,
}

fn url(args: &Args, listen: Option<&str>, config: Option<&Config>) -> Result<Url, String> {
    let listen = match listen {
        Some(text) => Some(address("listen =", text, PORT, false)?),
        None => None,
    };
    let port = listen.map(|addr| addr.port()).filter(|port| *port != 0);
    let port = port.unwrap_or(PORT);
    if let Some(host) = &args.host {
        return Ok(Url {
            text: match host.rsplit_once(':') {
                Some((_, digits)) if digits.parse::<u16>().is_ok() => format!("mqtt://{host}"),
                _ => format!("mqtt://{host}:{port}"),
            },
            is_local: false,
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
        });
    }
    let ip = own.unwrap_or(Ipv4Addr::LOCALHOST.into());
    Ok(Url {
        text: of(ip),
        is_local: ip.is_loopback(),
    })
}

fn report(args: &Args, common: &Common, paired: &Paired) -> Result<(), String> {
    let Paired { id, file, .. } = paired;
    let to_stdout = is_stdout(&args.out);
    if let Some(file) = file.as_ref().filter(|_| to_stdout && !common.json) {
        let written = io::stdout().write_all(file.text.as_bytes());
        written.map_err(|error| format!("cannot write: {error}"))?;
    }
    if common.json {
        let mut line = json!({"event": "paired", "id": id, "peers": paired.peers});
        if let (Some(file), Value::Object(line)) = (file, &mut line) {
            line.insert("broker".to_owned(), json!(file.url));
            match to_stdout {
                true => line.insert("device".to_owned(), json!(file.text)),
                false => line.insert("file".to_owned(), json!(args.out)),
            };
        }
        say(line)?;
    } else if !to_stdout || file.is_none() {
        for line in words(args, paired) {
            say(line)?;
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

fn words(args: &Args, paired: &Paired) -> Vec<String> {
    let Paired { id, file, .. } = paired;
    let out = args.out.display();
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
            lines.push(match file.is_local {
                true => format!(
                    "Its broker is {}, which only this machine reaches. For a board, start the \
                     hub with `aldis hub --lan` and pair with `--lan`.",
                    file.url
                ),
                false => format!(
                    "Its broker is {}. Other machines reach the hub if it was started with `aldis \
                     hub --lan`.",
                    file.url
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
            "{peer} may not answer it; to change that: aldis hub pair {peer} --peer {id}"
        ));
    }
    if let Some(peer) = &paired.out_of_reach {
        lines.push(format!(
            "Its presets go to {peer}, to which it may not send; to change that: aldis hub pair \
             {id} --peer {peer}"
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
