//! A network of one's own: a namespace in which DHCP, DNS and broker can misbehave.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{Folder, Program, mosquitto, succeed};
use crate::machine::{Cable, Machine, config_for};
use crate::recorder::Diags;

/// The namespace's own address, at which DHCP, DNS and broker are.
pub const OURS: &str = "10.77.0.1";
/// Another of its addresses.
pub const OTHER: &str = "10.77.0.2";
/// Set, tests that need a namespace are left out where there can be none.
const SKIP: &str = "ALDIS_SKIP_NAMESPACES";

/// A namespace with a tap device.
pub struct Namespace {
    name: String,
    folder: Folder,
}

impl Namespace {
    /// A new one; nothing where that is not allowed and tests may be left out.
    pub fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("aldis-{}-{number}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        if !made.as_ref().is_ok_and(|made| made.status.success()) {
            assert!(
                std::env::var_os(SKIP).is_some(),
                "network namespaces are not allowed here ({made:?}): run as root, or set {SKIP} \
                 to leave such tests out"
            );
            println!("left out: network namespaces are not allowed here");
            return None;
        }
        let namespace = Self {
            name,
            folder: Folder::new(),
        };
        namespace.ip("link set lo up");
        namespace.ip("tuntap add dev tap0 mode tap");
        namespace.ip(&format!("addr add {OURS}/24 dev tap0"));
        namespace.ip(&format!("addr add {OTHER}/24 dev tap0"));
        namespace.ip("link set tap0 up");
        Some(namespace)
    }

    /// A program in it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Changes something with `ip`.
    pub fn ip(&self, words: &str) {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name]).args(words.split(' '));
        succeed(&mut command);
    }

    /// A server for DHCP and DNS that gives addresses from this one on, and a name.
    pub fn dnsmasq(&self, first: &str, broker: &str, more: &[&str]) -> Program {
        let (network, host) = first.rsplit_once('.').unwrap();
        let last: u32 = host.parse::<u32>().unwrap() + 5;
        let mut command = self.command("/usr/sbin/dnsmasq");
        command
            .args([
                "--conf-file=/dev/null",
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
            ])
            .args([
                "--bind-interfaces",
                "--interface=tap0",
                "--except-interface=lo",
            ])
            .args([
                "--log-dhcp",
                "--log-facility=-",
                "--user=root",
                "--pid-file=",
            ])
            .args(["--dhcp-authoritative", "--no-ping"])
            .arg(format!(
                "--dhcp-leasefile={}",
                self.folder.path().join("leases").display()
            ))
            .arg(format!(
                "--dhcp-range={first},{network}.{last},255.255.255.0,2m"
            ))
            .arg(format!("--address=/broker.test/{broker}"))
            .args(more);
        let mut program = Program::start(&mut command);
        program.wait_for_text("started, version");
        program
    }

    /// What the server of before remembers is gone.
    pub fn forget_leases(&self) {
        let _ = std::fs::remove_file(self.folder.path().join("leases"));
    }

    /// A broker at this address.
    pub fn broker(&self, address: &str) -> Program {
        let settings = format!("listener 1883 {address}\nallow_anonymous true\nuser root\n");
        let file = self.folder.file(&format!("{address}.conf"), &settings);
        let mut command = self.command(mosquitto());
        command.arg("-v").arg("-c").arg(file);
        let mut program = Program::start(&mut command);
        program.wait_for_text("running");
        program
    }

    /// A program that makes the name `hub.local` known.
    pub fn avahi(&self) -> Program {
        let settings = "[server]\nhost-name=hub\nuse-ipv6=no\nallow-interfaces=tap0\n\
                        enable-dbus=no\n[publish]\npublish-workstation=no\n";
        let file = self.folder.file("avahi.conf", settings);
        let mut command = self.command("/usr/sbin/avahi-daemon");
        command.arg(format!("--file={}", file.display())).args([
            "--no-drop-root",
            "--no-chroot",
            "--no-rlimits",
        ]);
        let mut program = Program::start(&mut command);
        program.wait_for_text("Server startup complete");
        program
    }

    /// Waits for a message at a broker in it.
    pub fn wait_for_message(&self, address: &str, topic: &str, is_it: impl Fn(&str) -> bool) {
        let mut command = self.command("mosquitto_sub");
        command.args(["-h", address, "-t", topic]);
        Program::start(&mut command).wait_for(&format!("a message on {topic}"), is_it);
    }

    /// Somebody who looks at how the device is, at a broker in it.
    pub fn diags(&self, address: &str) -> Diags {
        let mut command = self.command("stdbuf");
        Diags::listen(command.args(["-oL", "mosquitto_sub", "-h", address]))
    }

    /// A board at its cable.
    pub fn machine(&self, broker: &str) -> Machine {
        Machine::on(Cable::Namespace(self.name.clone()), &config_for(broker, ""))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}
