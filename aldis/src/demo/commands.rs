//! What to type in another terminal.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aldis_hub::OWNER;
use aldis_protocol::topic::{DEFAULT_COMMAND, DEFAULT_READOUT};

use crate::shell::quoted;

/// Commands that listen to the device, switch its lamp and send it a message, and a device to
/// which it can send one; ready to be pasted. With the owner's password where one is needed.
pub fn commands(hub: SocketAddr, owner: Option<&str>, device: &str, peer: &str) -> Vec<String> {
    with(hub, owner, device, peer, &program())
}

fn with(
    hub: SocketAddr,
    owner: Option<&str>,
    device: &str,
    peer: &str,
    aldis: &str,
) -> Vec<String> {
    let (host, port) = (hub.ip(), hub.port());
    let local = host.is_loopback() && host.is_ipv4();
    let mut ours = match local {
        true => format!("-p {port}"),
        false => format!("-h {host} -p {port}"),
    };
    let mut theirs = format!("-h {host} -p {port}");
    let (mut aldis, mut user) = (aldis.to_owned(), String::new());
    if let Some(password) = owner {
        // Others do not see the environment of a program, as they see its arguments.
        aldis = format!("ALDIS_PASSWORD={password} {aldis}");
        user = format!(" --username {OWNER}");
        ours += &format!(" -u {OWNER}");
        theirs += &format!(" -u {OWNER} -P {password}");
    }
    vec![
        format!("{aldis} sub {ours} -t {DEFAULT_READOUT} -v"),
        format!("{aldis} pub {ours} -t {DEFAULT_COMMAND} -m on -q 1"),
        format!("{aldis} send {ours} {device} hello --wait read"),
        format!("{aldis} device --broker mqtt://{hub}{user} --id {peer} --screen"),
        format!("mosquitto_sub {theirs} -t {DEFAULT_READOUT}"),
        format!("mosquitto_pub {theirs} -t {DEFAULT_COMMAND} -m on -q 1"),
    ]
}

/// How this very program is called from the present folder.
fn program() -> String {
    let Ok(this) = env::current_exe() else {
        return "aldis".to_owned();
    };
    let paths = env::var_os("PATH").unwrap_or_default();
    let here = env::current_dir().unwrap_or_default();
    call(&this, env::split_paths(&paths), &here)
}

fn call(this: &Path, paths: impl Iterator<Item = PathBuf>, here: &Path) -> String {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let name = this.file_name().unwrap_or_default();
    let mut found = paths
        .map(|dir| dir.join(name))
        .filter_map(|path| real(&path));
    if found.next().is_some_and(|first| Some(first) == real(this)) {
        return quoted(&name.to_string_lossy());
    }
    let path = match this.strip_prefix(here) {
        // Without a folder the shell would look elsewhere.
        Ok(inside) if inside.components().count() > 1 => inside,
        _ => this,
    };
    quoted(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command that does not work when it is pasted.
    #[test]
    fn commands_name_host_and_port() {
        let local = with(
            "127.0.0.1:1884".parse().unwrap(),
            None,
            "pc-desk",
            "peer",
            "aldis",
        );
        assert_eq!(local[0], "aldis sub -p 1884 -t testincr -v");
        assert_eq!(local[1], "aldis pub -p 1884 -t output -m on -q 1");
        assert_eq!(local[2], "aldis send -p 1884 pc-desk hello --wait read");
        assert_eq!(
            local[3],
            "aldis device --broker mqtt://127.0.0.1:1884 --id peer --screen"
        );
        assert_eq!(local[4], "mosquitto_sub -h 127.0.0.1 -p 1884 -t testincr");
        assert_eq!(
            local[5],
            "mosquitto_pub -h 127.0.0.1 -p 1884 -t output -m on -q 1"
        );
        let lan = with(
            "192.168.1.107:1883".parse().unwrap(),
            Some("s3cret"),
            "pc-desk",
            "peer",
            "aldis",
        );
        assert_eq!(
            lan[0],
            "ALDIS_PASSWORD=s3cret aldis sub -h 192.168.1.107 -p 1883 -u owner -t testincr -v"
        );
        assert_eq!(
            lan[3],
            "ALDIS_PASSWORD=s3cret aldis device --broker mqtt://192.168.1.107:1883 --username owner \
             --id peer --screen"
        );
        assert_eq!(
            lan[5],
            "mosquitto_pub -h 192.168.1.107 -p 1883 -u owner -P s3cret -t output -m on -q 1"
        );
    }

    /// `aldis` is typed, but another program of this name, or none, is found.
    #[test]
    fn the_program_is_called_so_that_it_is_found() {
        let this = env::current_exe().unwrap();
        let (dir, name) = (this.parent().unwrap(), this.file_name().unwrap());
        let name = name.to_str().unwrap();
        let nowhere = Path::new("/nowhere");
        let on_path = call(&this, [dir.to_owned()].into_iter(), nowhere);
        assert_eq!(on_path, name);
        let elsewhere = call(&this, std::iter::empty(), nowhere);
        assert_eq!(elsewhere, this.to_str().unwrap());
        let inside = call(&this, std::iter::empty(), dir.parent().unwrap());
        assert!(
            inside.ends_with(name) && !inside.starts_with('/'),
            "{inside}"
        );
        assert_eq!(quoted("/my programs/it's"), r"'/my programs/it'\''s'");
    }
}
