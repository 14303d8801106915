//! Joins a wireless network and stays there: what every board with a radio does,
//! whatever its driver.

use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use core::task::Poll;

use aldis_device::{Order, Radio};
use aldis_flash::config::Level;
use embassy_futures::poll_once;
use embassy_futures::select::{Either, Either3, select, select3};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Ticker, Timer, with_timeout};

use crate::console::Line;
use crate::witness::{Seen, count};

/// How long joining may take.
const JOIN: Duration = Duration::from_secs(20);
/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(3);
/// How often the driver is asked whether it is still joined.
const ASK: Duration = Duration::from_secs(1);
/// How many times as often as the signal strength.
const ASK_RSSI: u32 = 5;
/// Waiting between attempts. An access point may keep a stale association for 90 s,
/// or be away for days: there is no last attempt.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long until a driver that did not start is started again.
const START_WAIT: Duration = Duration::from_secs(15);
/// The waiting begins anew after a connection that held so long.
const STABLE: Duration = Duration::from_secs(10);
/// No rssi is known.
const NO_RSSI: i32 = i32::MAX;

/// A driver that can be started.
pub trait Driver {
    /// The driver while it runs. It ends when it is dropped.
    type Station<'d>: Station
    where
        Self: 'd;

    /// Starts it, set up for the network. `clogged` is how often one before took no
    /// frames any more.
    ///
    /// # Errors
    /// With a few words.
    fn start(&mut self, clogged: u32) -> Result<Self::Station<'_>, &'static str>;
}

/// What the radio's task needs beside the driver.
pub trait Surroundings {
    /// A number below `bound`, by chance.
    fn chance(&self, bound: u32) -> u32;

    /// Prints a line on the console, if it is to say that much.
    fn print(&self, level: Level, line: Line<'_>);
}

/// A driver that runs. Its futures may be dropped, and are where they take too long.
pub trait Station {
    /// Joins the network.
    fn join(&mut self) -> impl Future<Output = Result<(), Trouble>>;

    /// Leaves the network, or ends joining it.
    fn leave(&mut self) -> impl Future<Output = ()>;

    /// Waits until the network is lost, and says why in a few words.
    fn lost(&self) -> impl Future<Output = &'static str>;

    /// Whether it is joined, to its own knowledge.
    fn is_joined(&self) -> bool;

    /// How strong the access point is received.
    fn rssi_dbm(&self) -> Option<i8>;
}

/// Why a network was not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It cannot be, for this reason in a few words.
    Refused(&'static str),
    /// The driver failed.
    Driver,
}

/// What is known of the radio outside of its task.
pub struct State {
    /// What goes through its network card.
    pub seen: Seen,
    turns: AtomicU32,
    joined: AtomicBool,
    unresponsive: AtomicBool,
    losses: AtomicU32,
    rssi: AtomicI32,
    orders: Signal<CriticalSectionRawMutex, Order>,
}

impl State {
    /// Before it started.
    pub const fn new() -> Self {
        Self {
            seen: Seen::new(),
            turns: AtomicU32::new(0),
            joined: AtomicBool::new(false),
            unresponsive: AtomicBool::new(false),
            losses: AtomicU32::new(0),
            rssi: AtomicI32::new(NO_RSSI),
            orders: Signal::new(),
        }
    }

    /// How it is.
    pub fn look(&self) -> Radio {
        Radio {
            joined: self.joined.load(Ordering::Relaxed),
            unresponsive: self.unresponsive.load(Ordering::Relaxed),
            turns: self.turns.load(Ordering::Relaxed),
            ..self.seen.look()
        }
    }

    /// How often the network was lost.
    pub fn losses(&self) -> u32 {
        self.losses.load(Ordering::Relaxed)
    }

    /// How strong the access point is received.
    pub fn rssi_dbm(&self) -> Option<i8> {
        i8::try_from(self.rssi.load(Ordering::Relaxed)).ok()
    }

    /// Gives an order, in place of one that is not begun yet.
    pub fn order(&self, order: Order) {
        self.orders.signal(order);
    }

    fn answered(&self, in_time: bool) {
        self.unresponsive.store(!in_time, Ordering::Relaxed);
    }

    fn set_rssi(&self, rssi: Option<i8>) {
        let rssi = rssi.map_or(NO_RSSI, i32::from);
        self.rssi.store(rssi, Ordering::Relaxed);
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs the radio for ever: joins the network of this name, and joins it again.
///
/// Starting a driver anew may cost it memory, so the supervisor should be sparing
/// with [`Order::Reinitialise`].
pub async fn run(
    driver: &mut impl Driver,
    ssid: &str,
    state: &State,
    around: &impl Surroundings,
) -> ! {
    let mut attempts = Attempts {
        ssid,
        state,
        around,
        wait: FIRST_WAIT,
        told: None,
        clogged: false,
    };
    let mut clogged = 0_u32;
    loop {
        count(&state.turns);
        match driver.start(clogged) {
            Ok(mut station) => {
                state.answered(true);
                attempts.clogged = false;
                attempts.run(&mut station).await;
                clogged = clogged.saturating_add(attempts.clogged.into());
            }
            Err(why) => {
                state.answered(false);
                if attempts.told != Some(why) {
                    attempts.told = Some(why);
                    around.print(Level::Error, Line::NoDriver(why));
                }
                let _ = with_timeout(START_WAIT, state.orders.wait()).await;
            }
        }
    }
}

/// What became of an attempt to join.
enum Attempt {
    Joined,
    Failed(&'static str),
    Ordered(Order),
}

/// How a connection ended.
enum End {
    Lost(&'static str),
    Ordered(Order),
}

/// Attempts to join, and what they learned.
struct Attempts<'s, A> {
    ssid: &'s str,
    state: &'s State,
    around: &'s A,
    /// How long to wait before the next one.
    wait: Duration,
    /// The reason for not being joined that was told last.
    told: Option<&'static str>,
    /// The driver took no frames although it was joined.
    clogged: bool,
}

impl<A: Surroundings> Attempts<'_, A> {
    /// Joins, and joins again, until the driver is to be started anew.
    async fn run(&mut self, station: &mut impl Station) {
        loop {
            count(&self.state.turns);
            let order = match self.join(station).await {
                Attempt::Joined => {
                    self.around.print(Level::Info, Line::Joined(self.ssid));
                    self.told = None;
                    let since = Instant::now();
                    let order = self.hold(station).await;
                    if since.elapsed() >= STABLE {
                        self.wait = FIRST_WAIT;
                    }
                    order
                }
                Attempt::Failed(reason) => {
                    if self.told != Some(reason) {
                        self.told = Some(reason);
                        self.around.print(Level::Info, Line::NotJoined(reason));
                    }
                    None
                }
                Attempt::Ordered(order) => Some(order),
            };
            let order = match order {
                None => self.pause().await,
                some => some,
            };
            match order {
                Some(Order::Reinitialise) => return,
                Some(Order::Rejoin | Order::Reset) => self.leave(station).await,
                None => {}
            }
        }
    }

    async fn join(&mut self, station: &mut impl Station) -> Attempt {
        let joining = with_timeout(JOIN, station.join());
        let failed = match select(joining, self.state.orders.wait()).await {
            Either::First(Ok(Ok(()))) => {
                self.state.answered(true);
                return Attempt::Joined;
            }
            Either::First(Ok(Err(Trouble::Refused(reason)))) => {
                self.state.answered(true);
                return Attempt::Failed(reason);
            }
            Either::First(Ok(Err(Trouble::Driver))) => "driver error",
            Either::First(Err(_)) => "no answer",
            Either::Second(order) => return Attempt::Ordered(order),
        };
        self.leave(station).await;
        Attempt::Failed(failed)
    }

    /// Leaves the network, or ends joining it.
    async fn leave(&mut self, station: &mut impl Station) {
        let left = with_timeout(LEAVE, station.leave()).await;
        self.state.answered(left.is_ok());
    }

    /// Waits until the network is lost or an order comes.
    async fn hold(&mut self, station: &mut impl Station) -> Option<Order> {
        self.state.joined.store(true, Ordering::Relaxed);
        let (reason, order) = match self.watch(station).await {
            End::Lost(reason) => (reason, None),
            End::Ordered(order) => {
                self.leave(station).await;
                ("left", Some(order).filter(|order| *order != Order::Rejoin))
            }
        };
        self.state.joined.store(false, Ordering::Relaxed);
        self.state.set_rssi(None);
        count(&self.state.losses);
        self.state.seen.broken();
        self.around.print(Level::Info, Line::LostWifi(reason));
        order
    }

    /// Looks after the connection each second: an event that the driver told may
    /// have been missed.
    async fn watch(&mut self, station: &impl Station) -> End {
        let mut lost = pin!(station.lost());
        let mut ticker = Ticker::every(ASK);
        let mut rounds = 0_u32;
        loop {
            count(&self.state.turns);
            self.clogged |= self.state.seen.is_blocked();
            if rounds.is_multiple_of(ASK_RSSI) {
                self.state.set_rssi(station.rssi_dbm());
            }
            rounds = rounds.wrapping_add(1);
            match select3(lost.as_mut(), ticker.next(), self.state.orders.wait()).await {
                Either3::First(reason) => return End::Lost(reason),
                Either3::Second(()) if station.is_joined() => {}
                Either3::Second(()) => {
                    return End::Lost(match poll_once(lost) {
                        Poll::Ready(reason) => reason,
                        Poll::Pending => "unknown",
                    });
                }
                Either3::Third(order) => return End::Ordered(order),
            }
        }
    }

    /// Waits before the next attempt, each time twice as long.
    async fn pause(&mut self) -> Option<Order> {
        // Half of it for certain, and the rest by chance, so that devices do not
        // all come at once.
        let half = self.wait.as_millis() >> 1;
        let jitter = self.around.chance(u32::try_from(half).unwrap_or(u32::MAX));
        let wait = half.saturating_add(jitter.into());
        self.wait = self.wait.checked_add(self.wait).unwrap_or(LONGEST_WAIT);
        self.wait = self.wait.min(LONGEST_WAIT);
        match select(Timer::after_millis(wait), self.state.orders.wait()).await {
            Either::First(()) => None,
            // There is nothing to leave.
            Either::Second(order) => Some(order).filter(|order| *order == Order::Reinitialise),
        }
    }
}
