//! A board under QEMU, with its flash in a file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::common::{Folder, Program, aldis, succeed};

/// The firmware, built once.
pub fn firmware() -> &'static Path {
    static FIRMWARE: OnceLock<PathBuf> = OnceLock::new();
    FIRMWARE.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = root
            .join(target.unwrap_or("target".into()))
            .join("boards/virt");
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--release", "--locked", "--target-dir"])
            .arg(&target)
            .current_dir(root.join("boards/virt"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_") || name == "RUSTFLAGS" {
                build.env_remove(&*name);
            }
        }
        let built = build.status().unwrap();
        assert!(built.success(), "boards/virt cannot be built");
        target.join("riscv32imac-unknown-none-elf/release/aldis-virt")
    })
}

/// How the board is connected.
pub enum Cable {
    /// To a network of QEMU's own, in which the host is 10.0.2.2.
    Host,
    /// To the tap device of a network namespace.
    Namespace(String),
}

/// A board.
pub struct Machine {
    folder: Folder,
    cable: Cable,
    /// The flash takes nothing any more.
    worn: bool,
    console: Option<Program>,
}

impl Machine {
    /// A board that is off, with this configuration in its flash.
    pub fn new(config: &str) -> Self {
        Self::on(Cable::Host, config)
    }

    /// The same with another cable.
    pub fn on(cable: Cable, config: &str) -> Self {
        let machine = Self {
            folder: Folder::new(),
            cable,
            worn: false,
            console: None,
        };
        machine.configure(config);
        machine
    }

    /// A board that is off, with these bytes where its configuration should be.
    pub fn with_record(record: &[u8]) -> Self {
        let machine = Self::new(&config(1, ""));
        let mut flash = std::fs::read(machine.flash()).unwrap();
        flash[..4096].fill(0xff);
        flash[..record.len()].copy_from_slice(record);
        std::fs::write(machine.flash(), flash).unwrap();
        machine
    }

    /// Its flash takes nothing any more, from the next start on.
    pub fn wear_out(&mut self) {
        self.worn = true;
    }

    /// Writes the configuration, as a user would.
    pub fn configure(&self, config: &str) {
        let config = self.folder.file("device.toml", config);
        let mut image = aldis("image");
        image.args(["--chip", "virt", "--config"]).arg(config);
        succeed(image.arg("-o").arg(self.flash()));
    }

    fn flash(&self) -> PathBuf {
        self.folder.path().join("flash.bin")
    }

    /// Switches it on.
    pub fn start(&mut self) -> &mut Program {
        let qemu = "qemu-system-riscv32";
        let (mut command, network) = match &self.cable {
            Cable::Host => (Command::new(qemu), "user,id=n0".to_owned()),
            Cable::Namespace(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, qemu]);
                let tap = "tap,id=n0,ifname=tap0,script=no,downscript=no";
                (command, tap.to_owned())
            }
        };
        let flash = self.flash();
        let readonly = if self.worn { ",readonly=on" } else { "" };
        let flash = format!(
            "if=pflash,unit=1,format=raw,file={}{readonly}",
            flash.display()
        );
        command
            .args(["-machine", "virt", "-m", "16M", "-display", "none"])
            .args(["-serial", "stdio", "-monitor", "none"])
            .args([
                "-device",
                "virtio-net-device,netdev=n0",
                "-netdev",
                &network,
            ])
            .args(["-device", "virtio-rng-device", "-drive", &flash])
            .arg("-bios")
            .arg(firmware());
        self.console.insert(Program::start_with_input(&mut command))
    }

    /// What it says.
    pub fn console(&mut self) -> &mut Program {
        self.console.as_mut().expect("it is on")
    }

    /// Takes its power away.
    pub fn kill(&mut self) {
        if let Some(console) = self.console.take() {
            console.kill();
        }
    }
}

/// A configuration for short tests, with a broker on the host, and more.
pub fn config(port: u16, more: &str) -> String {
    config_for(&format!("10.0.2.2:{port}"), more)
}

/// The same, for a broker anywhere.
pub fn config_for(host: &str, more: &str) -> String {
    format!(
        "id = \"dev\"\n[broker]\nurl = \"mqtt://{host}\"\nkeep_alive_s = 2\n\
         [readout]\ninterval_s = 1\n{more}"
    )
}
