//! An access point, and a driver that can join it or not.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::task::{Context, Poll, Waker};

use aldis_device::Order;
use aldis_embassy::console::Line;
use aldis_embassy::radio::{Driver, Station, Surroundings, Trouble};
use aldis_flash::config::Level;
use embassy_net::driver::{Capabilities, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_time::Timer;

use crate::time::now;

/// What there is to be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Good,
    Absent,
    /// It is there, and refuses.
    Refuses(&'static str),
    /// The driver answers nothing any more.
    Hangs,
    /// The driver does not start.
    NoDriver,
}

/// A line that was printed, and when.
#[derive(Clone, Debug)]
pub struct Said {
    pub at: u64,
    pub line: String,
}

/// The world of a radio.
pub struct Air(RefCell<Inside>);

struct Inside {
    network: Network,
    joined: bool,
    /// Why it was lost, until that is told.
    lost: Option<&'static str>,
    waker: Option<Waker>,
    attempts: Vec<u64>,
    starts: u32,
    /// How often a driver before was clogged, as the last start was told.
    clogged: u32,
    deaf: Option<Order>,
    said: Vec<Said>,
    chance: fastrand::Rng,
}

impl Air {
    pub fn new(network: Network) -> Self {
        Self(RefCell::new(Inside {
            network,
            joined: false,
            lost: None,
            waker: None,
            attempts: Vec::new(),
            starts: 0,
            clogged: 0,
            deaf: None,
            said: Vec::new(),
            chance: fastrand::Rng::with_seed(1),
        }))
    }

    pub fn driver(&self) -> Card<'_> {
        Card(self)
    }

    pub fn seed(&self, seed: u64) {
        self.0.borrow_mut().chance = fastrand::Rng::with_seed(seed);
    }

    pub fn set(&self, network: Network) {
        self.0.borrow_mut().network = network;
    }

    /// The network is lost, and the driver says so.
    pub fn lose(&self, why: &'static str) {
        let inside = &mut *self.0.borrow_mut();
        inside.joined = false;
        inside.lost = Some(why);
        if let Some(waker) = inside.waker.take() {
            waker.wake();
        }
    }

    /// The network is lost, and nobody is told.
    pub fn lose_silently(&self) {
        self.0.borrow_mut().joined = false;
    }

    /// Nothing comes through until that is done.
    pub fn go_deaf(&self, until: Order) {
        self.0.borrow_mut().deaf = Some(until);
    }

    pub fn is_deaf(&self) -> bool {
        self.0.borrow().deaf.is_some()
    }

    /// Frames that came through: another one each time while it is not deaf.
    pub fn heard(&self) -> u32 {
        match self.is_deaf() {
            true => 0,
            false => now() as u32,
        }
    }

    /// When joining was tried.
    pub fn attempts(&self) -> Vec<u64> {
        self.0.borrow().attempts.clone()
    }

    /// How often the driver was started.
    pub fn starts(&self) -> u32 {
        self.0.borrow().starts
    }

    /// How often a driver before was clogged, as the last start was told.
    pub fn clogged(&self) -> u32 {
        self.0.borrow().clogged
    }

    pub fn said(&self) -> Vec<Said> {
        self.0.borrow().said.clone()
    }

    fn cure(&self, order: Order) {
        let inside = &mut *self.0.borrow_mut();
        if inside.deaf == Some(order) {
            inside.deaf = None;
        }
    }

    fn network(&self) -> Network {
        self.0.borrow().network
    }
}

impl Surroundings for Air {
    fn chance(&self, bound: u32) -> u32 {
        self.0.borrow_mut().chance.u32(0..bound.max(1))
    }

    fn print(&self, _: Level, line: Line<'_>) {
        let line = line.to_string();
        self.0.borrow_mut().said.push(Said { at: now(), line });
    }
}

/// The driver.
pub struct Card<'a>(&'a Air);

impl<'a> Driver for Card<'a> {
    type Station<'d>
        = Running<'a>
    where
        Self: 'd;

    fn start(&mut self, clogged: u32) -> Result<Running<'a>, &'static str> {
        self.0.0.borrow_mut().starts += 1;
        self.0.0.borrow_mut().clogged = clogged;
        self.0.cure(Order::Reinitialise);
        match self.0.network() {
            Network::NoDriver => Err("out of memory"),
            _ => Ok(Running(self.0)),
        }
    }
}

/// The driver while it runs.
pub struct Running<'a>(&'a Air);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.borrow_mut().joined = false;
    }
}

impl Station for Running<'_> {
    async fn join(&mut self) -> Result<(), Trouble> {
        self.0.0.borrow_mut().attempts.push(now());
        // Scanning takes its time.
        Timer::after_secs(3).await;
        match self.0.network() {
            Network::Good => {
                let inside = &mut *self.0.0.borrow_mut();
                inside.joined = true;
                inside.lost = None;
                Ok(())
            }
            Network::Absent => Err(Trouble::Refused("no access point")),
            Network::Refuses(why) => Err(Trouble::Refused(why)),
            Network::Hangs => pending().await,
            Network::NoDriver => Err(Trouble::Driver),
        }
    }

    async fn leave(&mut self) {
        if self.0.network() == Network::Hangs {
            pending().await
        }
        self.0.0.borrow_mut().joined = false;
        self.0.cure(Order::Rejoin);
    }

    fn lost(&self) -> impl Future<Output = &'static str> {
        poll_fn(|cx| {
            let inside = &mut *self.0.0.borrow_mut();
            if let Some(why) = inside.lost.take() {
                return Poll::Ready(why);
            }
            inside.waker = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn is_joined(&self) -> bool {
        self.0.0.borrow().joined
    }

    fn rssi_dbm(&self) -> Option<i8> {
        Some(-60)
    }
}

/// A network card that takes no frames.
pub struct Full;

/// A frame that there never is.
pub struct Never;

impl RxToken for Never {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(&mut [])
    }
}

impl TxToken for Never {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _: usize, f: F) -> R {
        f(&mut [])
    }
}

impl embassy_net::driver::Driver for Full {
    type RxToken<'a> = Never;
    type TxToken<'a> = Never;

    fn receive(&mut self, _: &mut Context<'_>) -> Option<(Never, Never)> {
        None
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Never> {
        None
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet([2; 6])
    }
}
