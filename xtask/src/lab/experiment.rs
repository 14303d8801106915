//! One experiment: a device at a broker, and what is done to them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::broker::{self, Broker};
use super::commander::{Commander, Outcome, Sent};
use super::device::{self, Account, Device, Programs, Said, Settings};
use super::fault::{Absent, Fault, IDLE_S, Kept, Place};
use super::network::{Direction, NAME, Network, Topology};
use super::program::Program;
use super::proxy::{Manner, Proxy};
use super::recorder::{Record, Recorder};
use super::verdict::{self, Evidence, Figures};

/// How long anything may take that is not measured.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same, over a slow line.
const SLOW: Duration = Duration::from_secs(120);

/// Where, with what, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Setting {
    /// The broker.
    pub broker: broker::Kind,
    /// The device.
    pub device: device::Kind,
    /// What is between them.
    pub topology: Topology,
}

/// A device at a broker, with a recorder and a commander.
#[derive(Debug)]
pub struct Experiment {
    setting: Setting,
    programs: Programs,
    settings: Settings,
    name: String,
    // The namespaces go last.
    commander: Commander,
    recorder: Recorder,
    device: Option<Device>,
    rival: Option<Program>,
    proxy: Option<Proxy>,
    broker: Broker,
    network: Network,
}

/// What a fault did.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// From its beginning to the device's word that contact is lost.
    pub noticed: Option<Duration>,
    /// From its end, or from the beginning of one that does not end, to the first new delivery.
    pub back: Option<Duration>,
}

/// How much the recorder had.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// So many lines.
    place: usize,
    /// Up to this reading.
    last: u32,
}

impl Experiment {
    /// Prepares everything but the device, which is to meet this fault.
    pub fn prepare(
        setting: Setting,
        fault: Option<Fault>,
        programs: &Programs,
        seed: u64,
    ) -> Result<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
        let lab = format!("{}-{name}", super::prefix());
        let tap = setting.device == device::Kind::Virt;
        let network = Network::new(&lab, setting.topology, tap)?;
        let mut broker = Broker::new(setting.broker, &format!("{name}-broker"))?;
        broker.start(&network.broker, &programs.aldis)?;
        let recorder = Recorder::start(&network.broker);
        recorder.wait_subscribed(PATIENCE)?;
        let commander = Commander::start(&network.broker, tap);
        let proxy = match fault {
            Some(fault) if fault.needs_proxy() => {
                network.lead_to_proxy()?;
                Some(Proxy::start(&network.broker)?)
            }
            _ => None,
        };
        let by_name = fault.is_some_and(Fault::needs_name);
        let settings = Settings {
            broker: match by_name {
                true => NAME.to_owned(),
                false => network.address.clone(),
            },
            interval_s: fault.map_or(1, Fault::interval_s),
            keep_alive_s: fault.and_then(Fault::keep_alive_s),
            seed,
        };
        Ok(Self {
            setting,
            programs: programs.clone(),
            settings,
            name,
            network,
            broker,
            recorder,
            commander,
            device: None,
            proxy,
            rival: None,
        })
    }

    /// Switches the device on.
    pub fn switch_on(&mut self) -> Result<()> {
        let device = Device::start(
            self.setting.device,
            &format!("{}-device", self.name),
            &self.network,
            &self.programs,
            &self.settings,
        )?;
        self.device = Some(device);
        Ok(())
    }

    /// The device.
    pub fn device(&mut self) -> Result<&mut Device> {
        self.device.as_mut().context("the device is off")
    }

    /// Waits until readings come and commands are obeyed.
    pub fn warm_up(&mut self, fault: Option<Fault>) -> Result<()> {
        let patience = match fault {
            Some(Fault::Late) => SLOW,
            _ => PATIENCE,
        };
        self.device()?
            .wait_for(0, patience, "connection", |said| *said == Said::Connected)?;
        if fault == Some(Fault::Idle) {
            return self.wait_recorded(1, patience);
        }
        // By then the broker has its subscriptions as well.
        self.wait_recorded(2, patience)?;
        self.commander.resume();
        self.wait_obeyed(Instant::now(), true, patience)?;
        self.wait_recorded(3, patience)
    }

    /// Waits until the recorder has so many readings.
    fn wait_recorded(&self, count: usize, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        let heard = self.recorder.heard();
        let enough = heard.wait(0, until, |lines| {
            (Record::of(lines).readings.len() >= count).then_some(())
        });
        enough.with_context(|| format!("the recorder did not get {count} readings"))
    }

    /// Waits until the device has executed a command after this moment; and where the broker
    /// keeps them, not only those that waited for it.
    fn wait_obeyed(&mut self, after: Instant, kept: bool, patience: Duration) -> Result<()> {
        let kind = self.setting.device;
        let until = Instant::now() + patience;
        let sent = self.commander.sent();
        let before = |sent: &&Sent| sent.at <= after && sent.outcome == Outcome::Taken;
        let taken = sent.iter().filter(before).count();
        let said = self.device()?.said().clone();
        let obeyed = said.wait(0, until, |lines| {
            let executed = Account::of(lines).executed(kind);
            let newer = executed.iter().filter(|(at, _)| *at > after).count();
            let waited = match kept {
                true => taken.saturating_sub(executed.len() - newer),
                false => 0,
            };
            (newer > waited).then_some(())
        });
        self.device()?.check()?;
        obeyed.context("no command was obeyed")
    }

    /// Lets a fault begin. Says when.
    fn begin(&mut self, fault: Fault) -> Result<Instant> {
        let now = Instant::now();
        match fault {
            Fault::Killed => {
                self.broker.kill();
                self.recorder.renew();
                self.network.refuse(true)?;
            }
            Fault::Restarted | Fault::Cold(Absent::Broker) => {
                self.broker.stop()?;
                self.recorder.renew();
                self.network.refuse(true)?;
            }
            Fault::Hung => self.broker.signal("-STOP")?,
            Fault::Moved => self.network.move_broker()?,
            Fault::LinkDown | Fault::Cold(Absent::Link) => self.network.cable(false)?,
            Fault::Cold(Absent::Router) => self.network.route(false)?,
            Fault::Silent(direction) => {
                for one in [Direction::ToBroker, Direction::ToDevice] {
                    if direction.is_none_or(|is| is == one) {
                        self.network.drop_silently(one)?;
                    }
                }
            }
            Fault::Reset => {
                let count = self.network.reset_connections()?;
                ensure!(
                    count > 0,
                    "the kernel resets no connections: it lacks INET_DIAG_DESTROY"
                );
            }
            Fault::Forgotten(place) => {
                self.network.forget_connections(place == Place::Device)?;
            }
            Fault::Takeover => {
                let mut rival = self.rival(&["-E"])?;
                let ended = rival.wait_end(Instant::now() + PATIENCE);
                ensure!(
                    ended.is_some_and(|status| status.success()),
                    "the other client could not connect:\n{}",
                    rival.said.tail()
                );
            }
            Fault::Duplicate => self.rival = Some(self.rival(&[])?),
            Fault::Trickle => self
                .proxy()?
                .set(Manner::Trickle(Duration::from_millis(5)))?,
            // They are so from the beginning.
            Fault::Idle | Fault::Late => {}
        }
        Ok(now)
    }

    /// Ends it. Says when.
    fn end(&mut self, fault: Fault) -> Result<Instant> {
        let mut now = Instant::now();
        match fault {
            Fault::Killed | Fault::Restarted | Fault::Cold(Absent::Broker) => {
                self.broker
                    .start(&self.network.broker, &self.programs.aldis)?;
                // To the device nothing listens there until the recorder does: so it hears what
                // comes first.
                self.recorder.renew();
                self.recorder.wait_subscribed(PATIENCE)?;
                now = Instant::now();
                self.network.refuse(false)?;
            }
            Fault::Hung => self.broker.signal("-CONT")?,
            Fault::LinkDown | Fault::Cold(Absent::Link) => self.network.cable(true)?,
            Fault::Cold(Absent::Router) => self.network.route(true)?,
            Fault::Silent(_) => self.network.drop_nothing()?,
            Fault::Duplicate => self.rival = None,
            Fault::Trickle | Fault::Late => self.proxy()?.set(Manner::Through)?,
            Fault::Moved | Fault::Reset | Fault::Forgotten(_) | Fault::Idle | Fault::Takeover => {}
        }
        Ok(now)
    }

    fn proxy(&mut self) -> Result<&mut Proxy> {
        self.proxy.as_mut().context("nothing is before the broker")
    }

    /// Another client of the device's id.
    fn rival(&self, more: &[&str]) -> Result<Program> {
        let mut command = self.network.broker.command("mosquitto_sub");
        command.args(["-h", "127.0.0.1", "-i", device::ID, "-t", "nothing"]);
        // The hub lets nobody take the device's place but itself.
        command.args(["-u", device::ID, "-P", device::PASSWORD]);
        Program::start(command.args(more))
    }

    /// What has to be so before the device starts.
    pub fn before(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::Idle => self.network.forget_idle_after(IDLE_S),
            Fault::Late => self.proxy()?.set(Manner::Late(Duration::from_secs(4))),
            _ => Ok(()),
        }
    }

    /// Starts the device without what it needs, and waits for contact after that has come.
    pub fn suffer_cold(&mut self, fault: Fault, lasts: Duration) -> Result<Seen> {
        self.begin(fault)?;
        self.switch_on()?;
        thread::sleep(lasts);
        let ended = self.end(fault)?;
        let back = self.wait_new(Mark::default(), ended, fault.patience())?;
        let count = self.recorder.record().readings.len();
        self.wait_recorded(count + 2, PATIENCE)?;
        self.commander.resume();
        Ok(Seen {
            noticed: None,
            back: Some(back - ended),
        })
    }

    /// Lets a fault happen for a while, and waits for contact after it.
    pub fn suffer(&mut self, fault: Fault, lasts: Duration) -> Result<Seen> {
        let mark = Mark {
            place: self.recorder.heard().len(),
            last: self.recorder.record().last(),
        };
        let place = self.device()?.said().len();
        let began = self.begin(fault)?;
        thread::sleep(lasts);
        let ended = self.end(fault)?;
        let patience = fault.patience();
        let (from, after) = match fault.is_permanent() {
            false => (ended, ended),
            true => {
                let lost = |said: &Said| matches!(said, Said::Lost(_));
                let device = self.device()?;
                (began, device.wait_for(place, patience, "loss", lost)?.at)
            }
        };
        let back = self.wait_contact(mark, place, after, patience)?;
        let account = Account::of(&self.device()?.said().since(place));
        let mut losses = account.lost.iter().map(|(at, _)| *at);
        let noticed = losses.find(|at| *at > began && *at < back);
        if fault == Fault::Idle {
            self.commander.resume();
        }
        Ok(Seen {
            noticed: noticed.map(|at| at - began),
            back: Some(back - from),
        })
    }

    /// Waits for a new delivery after this moment, by a connection that the device has: the
    /// network may still bring what was under way on one that it has given up. `place`: where the
    /// fault begins in what the device says.
    fn wait_contact(
        &mut self,
        mark: Mark,
        place: usize,
        after: Instant,
        patience: Duration,
    ) -> Result<Instant> {
        /// The recorder may be quicker than the device's words.
        const WORDS: Duration = Duration::from_millis(50);
        let back = self.wait_new(mark, after, patience)?;
        let until = Instant::now() + patience;
        let said = self.device()?.said().clone();
        let connected = said.wait(place, until, |lines| {
            let account = Account::of(lines);
            let losses = account.lost.iter().map(|(at, _)| *at);
            match losses.filter(|at| *at <= back).max() {
                None => Some(None),
                Some(lost) => account
                    .connected
                    .into_iter()
                    .find(|at| *at > lost)
                    .map(Some),
            }
        });
        self.device()?.check()?;
        let connected = connected.context("the device does not connect again")?;
        match connected.and_then(|at| at.checked_sub(WORDS)) {
            Some(connected) if connected > back => self.wait_new(mark, connected, patience),
            _ => Ok(back),
        }
    }

    /// Waits for a delivery after this moment of what was not delivered before.
    fn wait_new(&mut self, mark: Mark, after: Instant, patience: Duration) -> Result<Instant> {
        let until = Instant::now() + patience;
        let heard = self.recorder.heard();
        let new = heard.wait(mark.place, until, |lines| {
            Record::of(lines).first_new_after(after, mark.last)
        });
        self.device()?.check()?;
        new.with_context(|| format!("contact is not back after {} s", patience.as_secs()))
    }

    /// Waits until all readings have an end, and commands are obeyed. Then the device ends, and
    /// is judged.
    pub fn finish(&mut self, fault: Fault) -> Result<(Figures, Vec<String>)> {
        let kept = fault.keeps(self.setting.broker);
        self.settle(kept)
    }

    /// The same, where the broker promises to keep so much.
    pub fn settle(&mut self, kept: Kept) -> Result<(Figures, Vec<String>)> {
        let kind = self.setting.device;
        let mut broken = Vec::new();
        let now = Instant::now();
        if let Err(error) = self.wait_obeyed(now, kept.commands, SLOW) {
            self.device()?.check()?;
            broken.push(error.to_string());
        }
        self.wait_drained(now)?;
        self.commander.pause();
        let sent = self.commander.sent();
        if kept.commands {
            let taken = sent
                .iter()
                .filter(|sent| sent.outcome == Outcome::Taken)
                .count();
            // What is missing is found by the verdict.
            let said = self.device()?.said().clone();
            said.wait(0, Instant::now() + PATIENCE, |lines| {
                (Account::of(lines).executed(kind).len() >= taken).then_some(())
            });
        }
        let account = self.device()?.stop()?;
        if kept.readings {
            self.wait_for_the_rest(&account.delivered);
        }
        let record = self.recorder.record();
        let evidence = Evidence {
            kind,
            account: &account,
            record: &record,
            sent: &sent,
            kept,
        };
        let mut figures = Figures {
            losses: account.lost.len(),
            ..Figures::default()
        };
        broken.extend(verdict::judge(&evidence, &mut figures));
        Ok((figures, broken))
    }

    /// When the connection was lost.
    pub fn losses(&mut self) -> Result<Vec<Instant>> {
        let account = self.device()?.account();
        Ok(account.lost.into_iter().map(|(at, _)| at).collect())
    }

    /// Waits until no reading is on its way, after two new ones came: what is not delivered then
    /// is for the verdict.
    fn wait_drained(&mut self, after: Instant) -> Result<()> {
        let until = Instant::now() + SLOW;
        if self.settings.interval_s < 60 {
            let heard = self.recorder.heard();
            heard.wait(0, until, |lines| {
                let record = Record::of(lines);
                let new = record.readings.values().filter(|at| **at > after);
                (new.count() >= 2).then_some(())
            });
        }
        if self.setting.device == device::Kind::Pc {
            let said = self.device()?.said().clone();
            said.wait(0, until, |lines| {
                let account = Account::of(lines);
                let ended = |seq: &u32| {
                    account.delivered.contains(seq) || account.given_up.contains_key(seq)
                };
                account.published.iter().all(ended).then_some(())
            });
        }
        self.device()?.check()
    }

    fn wait_for_the_rest(&self, delivered: &BTreeSet<u32>) {
        let until = Instant::now() + PATIENCE;
        self.recorder.heard().wait(0, until, |lines| {
            let record = Record::of(lines);
            let all = delivered
                .iter()
                .all(|seq| record.readings.contains_key(seq));
            all.then_some(())
        });
    }

    /// Everything that was said, for a file.
    pub fn log(&self) -> String {
        let device = self.device.as_ref().map(|device| device.said().all());
        let mut lines: Vec<(Instant, String)> = Vec::new();
        let device = device.unwrap_or_default().into_iter();
        lines.extend(device.map(|line| (line.at, format!("device    {}", line.text))));
        let heard = self.recorder.heard().all().into_iter();
        lines.extend(heard.map(|line| (line.at, format!("recorder  {}", line.text))));
        let sent = self.commander.sent().into_iter();
        lines.extend(sent.map(|sent| {
            let (word, outcome) = (sent.word.as_str(), sent.outcome);
            (sent.at, format!("commander {word} {outcome:?}"))
        }));
        lines.sort();
        let first = lines.first().map(|(at, _)| *at);
        let mut text = String::new();
        for (at, line) in lines {
            let since = first.map_or(0.0, |first| (at - first).as_secs_f64());
            text += &format!("{since:9.3} {line}\n");
        }
        text + "broker's last words:\n" + &self.broker.tail() + "\n"
    }
}
