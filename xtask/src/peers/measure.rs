//! One measurement: one client, one fault, a broker and a path of their own.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::broker::{Broker, Memory};
use super::client::Client;
use super::fault::{Fault, Unit};
use super::proxy::{Proxy, Seen};
use super::recorder::{self, Recorder};

/// How long a client may take until contact is back; later is never.
pub const BOUND: Duration = Duration::from_secs(60);

/// How long what was accepted may take to arrive.
pub const GRACE: Duration = Duration::from_secs(60);

/// How long a client may take to deliver anything where nothing is wrong.
const BEGINNING: Duration = Duration::from_secs(30);

/// How long it goes on after contact is back.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// One way, where a round trip takes 8 s.
const DELAY: Duration = Duration::from_secs(4);

/// What is to be measured.
pub struct Setting<'s> {
    pub mosquitto: &'s Path,
    /// The client's program and its first arguments.
    pub command: &'s [String],
    pub fault: Fault,
    /// When in the client's life the fault comes, and its random part, each from 0 to 1.
    pub moment: f64,
    pub extra: f64,
    pub quick: bool,
    /// Where files go.
    pub folder: PathBuf,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Seconds or reconnects; nothing is never.
    pub value: Option<f64>,
    /// Accepted, not reported as dropped, never arrived.
    pub lost: usize,
    /// Accepted, and reported as dropped.
    pub dropped: usize,
    /// Not accepted.
    pub refused: usize,
    /// Arrived again.
    pub duplicates: usize,
    /// How often it asked the broker to let it in.
    pub attempts: usize,
    /// The program ended by itself.
    pub ended: bool,
    /// The version that the client calls itself.
    pub version: Option<String>,
}

/// The parts of a measurement.
struct Scene<'s> {
    setting: &'s Setting<'s>,
    /// Ends first, so that its log does not end with our end.
    client: Client,
    recorder: Recorder,
    proxy: Proxy,
    broker: Broker,
}

/// When contact is back, and from when on it is measured.
struct Recovery {
    /// The zero of the cell.
    end: Instant,
    back: Option<Instant>,
}

/// Measures.
pub fn run(setting: &Setting<'_>) -> Result<Run> {
    let fault = setting.fault;
    let folder = &setting.folder;
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let memory = match fault {
        Fault::Forgotten => Memory::Lost,
        _ => Memory::Kept,
    };
    let broker = Broker::start(setting.mosquitto, folder, memory)?;
    let mut recorder = Recorder::default();
    recorder.attach(broker.address())?;
    let mut proxy = Proxy::new(broker.address())?;
    if fault != Fault::Late {
        proxy.listen()?;
    }
    if fault == Fault::Slow {
        proxy.delay(DELAY);
    }
    proxy.trickle(fault == Fault::Trickle);
    let client = Client::start(setting.command, proxy.address(), ID, folder)?;
    let mut scene = Scene {
        setting,
        broker,
        proxy,
        recorder,
        client,
    };
    if fault.unit() == Unit::Reconnects {
        return Ok(scene.count_reconnects());
    }
    if fault != Fault::Late {
        scene.settle()?;
    }
    let recovery = scene.inflict()?;
    Ok(scene.conclude(&recovery))
}

/// The client id of the client.
const ID: &str = "peer";

impl Scene<'_> {
    fn lasting(&self) -> Duration {
        let fault = self.setting.fault.lasting(self.setting.quick);
        fault + Duration::from_secs_f64(self.setting.extra)
    }

    /// Waits until everything is usual, up to a random moment within a keep-alive.
    fn settle(&self) -> Result<()> {
        let deadline = Instant::now() + BEGINNING;
        let begun = self
            .recorder
            .wait_for(deadline, |record| (!record.is_empty()).then_some(()));
        begun.with_context(|| {
            let words = self.client.log().last_words().map(str::to_owned);
            format!(
                "nothing arrived within {} s where nothing was wrong ({}); see {}",
                BEGINNING.as_secs(),
                words.unwrap_or_else(|| String::from("it said nothing")),
                self.setting.folder.display()
            )
        })?;
        let within = if self.setting.quick { 2.0 } else { 10.0 };
        thread::sleep(Duration::from_secs_f64(2.0 + within * self.setting.moment));
        Ok(())
    }

    /// Does what the fault is, and waits until contact is back.
    fn inflict(&mut self) -> Result<Recovery> {
        let start = Instant::now();
        let end = match self.setting.fault {
            Fault::Killed => {
                self.proxy.refuse();
                self.broker.kill();
                thread::sleep(self.lasting());
                self.bring_back()?
            }
            Fault::Forgotten => {
                self.broker.hang()?;
                thread::sleep(self.lasting());
                self.proxy.refuse();
                self.broker.kill();
                self.bring_back()?
            }
            Fault::Late => {
                thread::sleep(self.lasting());
                let end = Instant::now();
                self.proxy.listen()?;
                end
            }
            Fault::Blackhole => {
                self.proxy.hold()?;
                thread::sleep(self.lasting());
                let end = Instant::now();
                self.proxy.release()?;
                end
            }
            Fault::Dead => {
                self.proxy.kill();
                start
            }
            Fault::Deaf => {
                self.proxy.kill_downwards();
                start
            }
            Fault::Takeover => {
                recorder::intrude(self.broker.address(), ID)?;
                Instant::now()
            }
            Fault::Reset => {
                self.proxy.reset();
                start
            }
            Fault::Closed => {
                self.proxy.close_after_connect(3);
                let third = self.proxy.wait_for(start + BOUND, |seen| {
                    let mut closed = seen.iter().filter(|(_, seen)| *seen == Seen::Closed);
                    closed.nth(2).map(|(at, _)| *at)
                });
                match third {
                    Some(third) => third,
                    None => {
                        return Ok(Recovery {
                            end: start,
                            back: None,
                        });
                    }
                }
            }
            Fault::Puback => return self.lose_a_puback(),
            Fault::Slow | Fault::Trickle => start,
        };
        let deadline = end + BOUND;
        let since = match self.setting.fault.needs_reconnect() {
            true => self.connected_since(start, deadline),
            false => Some(end),
        };
        let back = since.and_then(|since| {
            self.recorder
                .wait_for(deadline, |record| record.first_new(since))
        });
        Ok(Recovery { end, back })
    }

    /// Starts the broker again, and lets the client find it when everything is ready to see it.
    fn bring_back(&mut self) -> Result<Instant> {
        self.broker.revive()?;
        self.recorder.attach(self.broker.address())?;
        let end = Instant::now();
        self.proxy.listen()?;
        Ok(end)
    }

    /// The client's first CONNECT since then that was carried.
    fn connected_since(&self, since: Instant, deadline: Instant) -> Option<Instant> {
        let closed = self.setting.fault == Fault::Closed;
        self.proxy.wait_for(deadline, |seen| {
            let connects = seen
                .iter()
                .filter(|(at, seen)| *at >= since && *seen == Seen::Connect);
            connects.map(|(at, _)| *at).nth(if closed { 3 } else { 0 })
        })
    }

    fn lose_a_puback(&self) -> Result<Recovery> {
        let start = Instant::now();
        self.proxy.swallow_puback();
        let swallowed = self.proxy.wait_for(start + BEGINNING, |seen| {
            seen.iter().find_map(|(at, seen)| match seen {
                Seen::Swallowed(payload) => Some((*at, recorder::parse(payload)?)),
                _ => None,
            })
        });
        let (end, number) = swallowed.context("no PUBACK came that could be lost")?;
        let back = self.client.wait_for(end + BOUND, |log| log.acked(number));
        Ok(Recovery { end, back })
    }

    /// Waits for what was accepted, and counts.
    fn conclude(&mut self, recovery: &Recovery) -> Run {
        let cut = match recovery.back {
            // Whatever comes later has had no time to arrive.
            None => recovery.end,
            Some(_) => {
                thread::sleep(AFTERWARDS);
                Instant::now()
            }
        };
        let value = recovery
            .back
            .map(|back| back.saturating_duration_since(recovery.end).as_secs_f64());
        self.count(value, cut)
    }

    /// What became of the numbers that were accepted up to this moment.
    fn count(&self, value: Option<f64>, cut: Instant) -> Run {
        let log = self.client.log();
        let mut owed: HashSet<u32> = log.owed(cut).collect();
        self.recorder.wait_for(cut + GRACE, |record| {
            owed.retain(|number| !record.has(*number));
            owed.is_empty().then_some(())
        });
        // Some may have been reported as dropped meanwhile.
        let log = self.client.log();
        let known: HashSet<u32> = log.owed(cut).collect();
        Run {
            value,
            lost: owed.intersection(&known).count(),
            dropped: log.dropped(),
            refused: log.refused(),
            duplicates: self.recorder.record().duplicates(),
            attempts: self.proxy.count(&Seen::Connect),
            ended: log.ended,
            version: log.version.clone(),
        }
    }

    fn count_reconnects(&mut self) -> Run {
        thread::sleep(self.lasting());
        let cut = Instant::now();
        let connections = self.client.log().connections();
        // What waits only because of the line is not lost.
        self.proxy.delay(Duration::ZERO);
        self.proxy.trickle(false);
        let value = connections.checked_sub(1).map(|again| again as f64);
        self.count(value, cut)
    }
}
