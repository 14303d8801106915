//! A network namespace.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};

use super::{find, succeed};

/// A network namespace. Dropped, it is removed, with every process in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one, called `lab` and `node`.
    pub fn new(lab: &str, node: &str) -> Result<Self> {
        let name = format!("{lab}-{node}");
        succeed(Command::new(find("ip")).args(["netns", "add", &name]))?;
        let namespace = Self { name };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A program in it.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(find("ip"));
        command.args(["netns", "exec", &self.name]);
        match program.as_ref().to_str() {
            Some(name) if !name.contains('/') => command.arg(find(name)),
            _ => command.arg(program.as_ref()),
        };
        command
    }

    /// Changes something with `ip`.
    pub fn ip(&self, words: &str) -> Result<()> {
        let mut command = Command::new(find("ip"));
        command.args(["-n", &self.name]).args(words.split(' '));
        succeed(&mut command).map(drop)
    }

    /// Gives `nft` these lines.
    pub fn nft(&self, lines: &str) -> Result<()> {
        let mut nft = self
            .command("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start nft")?;
        if let Some(mut input) = nft.stdin.take() {
            input.write_all(lines.as_bytes())?;
        }
        let output = nft.wait_with_output()?;
        ensure!(
            output.status.success(),
            "nft does not take these lines: {}\n{lines}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Sets a variable of its part of the kernel, as in `net/ipv4/ip_forward`.
    pub fn sysctl(&self, variable: &str, value: &str) -> Result<()> {
        let file = format!("/proc/sys/{variable}");
        let mut command = self.command("sh");
        command.args(["-c", "echo \"$1\" > \"$2\"", "sh", value, &file]);
        succeed(&mut command).map(drop)
    }

    /// What programs in it take for `/etc/resolv.conf`.
    pub fn resolve_with(&self, server: &str) -> Result<()> {
        let folder = Path::new("/etc/netns").join(&self.name);
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join("resolv.conf"), format!("nameserver {server}\n")))
            .with_context(|| format!("cannot write into {}", folder.display()))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Removes a namespace, and ends every process in it.
fn remove(name: &str) {
    let ip = find("ip");
    let pids = Command::new(&ip).args(["netns", "pids", name]).output();
    if let Ok(pids) = pids {
        for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace() {
            let _ = Command::new("kill").args(["-KILL", pid]).output();
        }
    }
    let _ = Command::new(&ip).args(["netns", "del", name]).output();
    let folder = Path::new("/etc/netns").join(name);
    if folder.exists() {
        let _ = fs::remove_dir_all(folder);
        // The last one takes the folder of all with it.
        let _ = fs::remove_dir("/etc/netns");
    }
}

/// Removes the namespaces of the processes of which this is true.
pub fn sweep(of: impl Fn(&str) -> bool) {
    let Ok(list) = Command::new(find("ip")).args(["netns", "list"]).output() else {
        return;
    };
    let list = String::from_utf8_lossy(&list.stdout);
    let names = list.lines().filter_map(|line| line.split(' ').next());
    let names: BTreeSet<_> = names
        .filter(|name| super::process(name).is_some_and(&of))
        .collect();
    // The kernel takes its time for each.
    thread::scope(|scope| {
        for name in names {
            scope.spawn(move || remove(name));
        }
    });
}
