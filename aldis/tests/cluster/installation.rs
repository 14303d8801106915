//! The programs of an installation, each of which is started again when it ends.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::balancer::Balancer;
use super::common::{Folder, aldis, free_port};

/// How long a cluster may take to begin, or to take a node in again, on a busy machine.
pub const ASSEMBLY: Duration = Duration::from_secs(90);

/// A program with its log. As under systemd, one that ends by itself is started again.
pub struct Service {
    pub name: String,
    command: Command,
    log: PathBuf,
    child: Option<Child>,
    /// How often it ended by itself.
    pub ended: u32,
}

impl Service {
    pub fn new(name: String, folder: &Path, mut command: Command) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .env("ALDIS_LOG", "warn,handy_grpc=error,rmqtt_raft=error");
        Self {
            name,
            command,
            log,
            child: None,
            ended: 0,
        }
    }

    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.name);
        self.child = Some(self.command.spawn().unwrap());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let id = self.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Starts it again if it ended by itself.
    pub fn see_to(&mut self) {
        let Some(child) = &mut self.child else {
            return;
        };
        if child.try_wait().unwrap().is_some() {
            self.ended += 1;
            println!("{} ended by itself: {}", self.name, self.last_words());
            self.child = None;
            self.start();
        }
    }

    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The memory it takes, in MB.
    pub fn megabytes(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()?)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes / 1024.0)
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn last_words(&self) -> String {
        let said = self.said();
        let lines: Vec<_> = said.lines().collect();
        let from = lines.len().saturating_sub(15);
        lines.get(from..).unwrap_or_default().join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until something holds; gives how long it took.
pub fn wait(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "waited {limit:?} until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    began.elapsed()
}

/// Three nodes, and a balancer in front of them.
pub struct Nodes {
    pub services: Vec<Service>,
    pub addresses: Vec<SocketAddr>,
    pub balancer: Balancer,
}

impl Nodes {
    pub fn new(folder: &Folder) -> Self {
        Self::with(folder, "")
    }

    /// With more in their configuration.
    pub fn with(folder: &Folder, more: &str) -> Self {
        let mut config = format!("{more}[recorder]\noff = true\n[cluster]\n");
        for id in 1..=3 {
            let _ = write!(
                config,
                "[[cluster.nodes]]\nid = {id}\ngrpc = \"127.0.0.1:{}\"\nraft = \"127.0.0.1:{}\"\n",
                free_port(),
                free_port()
            );
        }
        let config = folder.file("hub.toml", &config);
        let addresses: Vec<SocketAddr> = (0..3)
            .map(|_| SocketAddr::from(([127, 0, 0, 1], free_port())))
            .collect();
        let services = (1..=3).zip(&addresses).map(|(id, address)| {
            let mut command = aldis("hub");
            command.arg("--config").arg(&config);
            command.args(["--node", &id.to_string()]);
            command.args(["--listen", &address.to_string()]);
            command
                .arg("--data")
                .arg(folder.path().join(format!("node{id}")));
            Service::new(format!("node{id}"), folder.path(), command)
        });
        Self {
            services: services.collect(),
            balancer: Balancer::start(addresses.clone()),
            addresses,
        }
    }

    /// Starts all, and waits until clients can connect to each.
    pub fn start(&mut self) {
        for node in &mut self.services {
            node.start();
        }
        for node in 0..3 {
            self.wait_for(node);
        }
    }

    /// Waits until clients can connect to a node.
    pub fn wait_for(&mut self, node: usize) -> Duration {
        let began = Instant::now();
        loop {
            for service in &mut self.services {
                service.see_to();
            }
            if std::net::TcpStream::connect(self.addresses[node]).is_ok() {
                return began.elapsed();
            }
            assert!(
                began.elapsed() < ASSEMBLY,
                "node {} does not join:\n{}",
                node + 1,
                self.last_words()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn last_words(&self) -> String {
        let words = self.services.iter().map(|node| {
            let name = &node.name;
            format!("{name}:\n{}\n", node.last_words())
        });
        words.collect()
    }
}
