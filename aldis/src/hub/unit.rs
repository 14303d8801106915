//! A systemd unit for the hub.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What the unit is called.
pub const NAME: &str = "aldis-hub.service";
/// The user under whose name the service runs.
pub const USER: &str = "aldis";
/// Where the service of the machine keeps everything.
pub const DATA: &str = "/var/lib/aldis";
/// What the service of the machine gets from the file with variables.
pub const VARIABLES: &str = "/etc/aldis/hub.env";

/// A flag of the hub, as it goes into a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flag {
    /// One without a value.
    Switch(&'static str),
    /// One with a value.
    Value(&'static str, String),
    /// One with a file that the hub reads.
    File(&'static str, PathBuf),
    /// One whose value nobody is to see: its variable is set in a file.
    Secret(&'static str, String),
}

/// Whose service it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The machine's: it runs from the start on, with a user of its own.
    Machine,
    /// A user's, with the hub's data directory and the file with variables.
    User {
        /// Where the hub keeps everything.
        data: PathBuf,
        /// The file with variables.
        variables: PathBuf,
    },
}

/// What a unit is made from.
#[derive(Clone, Debug)]
pub struct Unit<'a> {
    /// The program, as an absolute path.
    pub program: &'a Path,
    /// Whose it is.
    pub scope: &'a Scope,
    /// The flags of the hub.
    pub flags: &'a [Flag],
    /// Whether it listens on a port below 1024.
    pub low_port: bool,
}

impl Unit<'_> {
    /// Its text.
    pub fn text(&self) -> String {
        let mut command = quoted(&self.program.to_string_lossy());
        let mut credentials = String::new();
        let (data, variables) = match self.scope {
            Scope::Machine => (Path::new(DATA), Path::new(VARIABLES)),
            Scope::User { data, variables } => (data.as_path(), variables.as_path()),
        };
        let _ = write!(command, " hub --data {}", quoted(&data.to_string_lossy()));
        for flag in self.flags {
            match flag {
                Flag::Switch(name) => {
                    let _ = write!(command, " {name}");
                }
                Flag::Value(name, value) => {
                    let _ = write!(command, " {name} {}", quoted(value));
                }
                Flag::File(name, path) => match self.scope {
                    // The service's user may not read it; systemd may.
                    Scope::Machine => {
                        let credential = name.trim_start_matches('-');
                        let _ = write!(command, " {name} %d/{credential}");
                        let path = path.to_string_lossy().replace('%', "%%");
                        let _ = writeln!(credentials, "LoadCredential={credential}:{path}");
                    }
                    Scope::User { .. } => {
                        let _ = write!(command, " {name} {}", quoted(&path.to_string_lossy()));
                    }
                },
                Flag::Secret(..) => {}
            }
        }
        let variables = variables.to_string_lossy().replace('%', "%%");
        let mut text = format!(
            "[Unit]\n\
             Description=Aldis hub: MQTT broker, recorder and dashboard\n\
             # Whoever answers for the machine's name in the network comes first.\n\
             After=network.target avahi-daemon.service\n\
             # Tried again for ever.\n\
             StartLimitIntervalSec=0\n\n\
             [Service]\n\
             Type=notify\n\
             NotifyAccess=main\n\
             EnvironmentFile=-{variables}\n\
             {credentials}\
             ExecStart={command}\n\
             Restart=always\n\
             RestartSec=2\n\
             WatchdogSec=60\n\
             TimeoutStartSec=60\n\
             TimeoutStopSec=15\n\
             LimitNOFILE=65536\n\
             UMask=0077\n\
             NoNewPrivileges=yes\n"
        );
        match self.scope {
            Scope::Machine => {
                text.push_str(&hardened(self.low_port));
                text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
            }
            Scope::User { .. } => text.push_str("\n[Install]\nWantedBy=default.target\n"),
        }
        text
    }
}

/// What the service of the machine may do, which is little.
fn hardened(low_port: bool) -> String {
    let capability = match low_port {
        true => "CAP_NET_BIND_SERVICE",
        false => "",
    };
    let user = USER;
    format!(
        "\n# A user that exists while the service does. What it keeps is in {DATA}.\n\
         User={user}\n\
         DynamicUser=yes\n\
         StateDirectory=aldis\n\
         StateDirectoryMode=0700\n\
         AmbientCapabilities={capability}\n\
         CapabilityBoundingSet={capability}\n\
         DevicePolicy=closed\n\
         KeyringMode=private\n\
         LockPersonality=yes\n\
         MemoryDenyWriteExecute=yes\n\
         PrivateDevices=yes\n\
         PrivateTmp=yes\n\
         ProtectClock=yes\n\
         ProtectControlGroups=yes\n\
         ProtectHome=yes\n\
         ProtectHostname=yes\n\
         ProtectKernelLogs=yes\n\
         ProtectKernelModules=yes\n\
         ProtectKernelTunables=yes\n\
         ProtectProc=invisible\n\
         ProtectSystem=strict\n\
         RemoveIPC=yes\n\
         # The last one tells of the machine's addresses.\n\
         RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK\n\
         RestrictNamespaces=yes\n\
         RestrictRealtime=yes\n\
         RestrictSUIDSGID=yes\n\
         SystemCallArchitectures=native\n\
         SystemCallErrorNumber=EPERM\n\
         SystemCallFilter=@system-service\n\
         SystemCallFilter=~@privileged @resources\n"
    )
}

/// A word of a command line in a unit (systemd.service(5), COMMAND LINES).
fn quoted(word: &str) -> String {
    let word = word.replace('%', "%%").replace('$', "$$");
    let is_plain = !word.is_empty()
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@,=+%$".contains(&byte));
    match is_plain {
        true => word,
        false => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

/// A file with variables, in which these have these values and all else stays.
pub fn variables(before: &str, secrets: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let is_set = |line: &str| {
        let name = line.trim_start().split('=').next().unwrap_or("");
        secrets.iter().any(|(set, _)| *set == name)
    };
    for line in before.lines().filter(|line| !is_set(line)) {
        let _ = writeln!(text, "{line}");
    }
    for (name, value) in secrets {
        // Within these quotes only `'` itself means something.
        let _ = writeln!(text, "{name}='{}'", value.replace('\'', "'\\''"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(flags: &[Flag]) -> String {
        Unit {
            program: Path::new("/usr/bin/aldis"),
            scope: &Scope::Machine,
            flags,
            low_port: false,
        }
        .text()
    }

    /// A password in a unit is read by everybody on the machine, and in its command line as well.
    #[test]
    fn secrets_are_in_no_unit() {
        let text = machine(&[
            Flag::Switch("--lan"),
            Flag::Secret("ALDIS_HUB_STORE", "postgres://u:geheim@h/d".to_owned()),
            Flag::File("--key", "/etc/ssl/100%/key.pem".into()),
        ]);
        assert!(!text.contains("geheim"), "{text}");
        assert!(text.contains("EnvironmentFile=-/etc/aldis/hub.env\n"));
        assert!(
            text.contains(
                "ExecStart=/usr/bin/aldis hub --data /var/lib/aldis --lan --key %d/key\n"
            )
        );
        assert!(text.contains("LoadCredential=key:/etc/ssl/100%%/key.pem\n"));
    }

    /// A folder with a space or a percent sign gives the hub other words than were typed.
    #[test]
    fn words_are_quoted_as_systemd_reads_them() {
        for (word, expected) in [
            ("plain", "plain"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("50%", "50%%"),
            ("$HOME", "$$HOME"),
            ("say \"x\\y\"", "\"say \\\"x\\\\y\\\"\""),
            ("a;b", "\"a;b\""),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }

    /// What somebody wrote into the file beside the secret is lost.
    #[test]
    fn a_file_with_variables_keeps_the_others() {
        let before = "# mine\nALDIS_HUB_LAN=1\nALDIS_PASSWORD=old\n";
        let text = variables(before, &[("ALDIS_PASSWORD", "it's $new")]);
        assert_eq!(
            text,
            "# mine\nALDIS_HUB_LAN=1\nALDIS_PASSWORD='it'\\''s $new'\n"
        );
        assert_eq!(variables(before, &[]), before);
    }
}
