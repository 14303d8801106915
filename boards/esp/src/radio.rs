//! The radio: joins the network, for ever.

use core::fmt;
use core::pin::pin;

use aldis_device::{Order, Radio};
use aldis_embassy::console::Line;
use aldis_embassy::witness::{Counts, Seen};
use embassy_futures::poll_once;
use embassy_futures::select::{Either, Either3, select, select3};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Ticker, Timer, with_timeout};
use esp_hal::peripherals::WIFI;
use esp_radio::wifi::sta::{ScanMethod, StationConfig};
use esp_radio::wifi::{
    AuthenticationMethodConfig, Config, ConnectionError, ControllerConfig, CountryInfo,
    DisconnectReason, Password, Ssid, WifiController, WifiError,
};
use portable_atomic::{AtomicBool, AtomicI8, AtomicU32, Ordering};

use crate::{console, seed};

/// How long joining may take.
const JOIN: Duration = Duration::from_secs(20);
/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(3);
/// How often the driver is asked whether it is still joined.
const ASK: Duration = Duration::from_secs(1);
/// How many times as often as the signal strength.
const ASK_RSSI: u32 = 5;
/// Waiting between attempts.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The waiting begins anew after a connection that held so long.
const STABLE: Duration = Duration::from_secs(10);
/// Quarters of a dBm: 15 dBm. More makes some boards fail.
const TX_POWER: i8 = 60;
/// The rules that hold anywhere.
const WORLD: [u8; 2] = *b"01";
/// Frames that the driver takes at once.
const QUEUE: usize = 6;
/// No rssi was measured.
const NO_RSSI: i8 = 0;

/// The network to join.
#[derive(Clone, Copy)]
pub struct Network {
    ssid: Ssid,
    password: Option<Password>,
    country: [u8; 2],
}

impl Network {
    /// A network, open if it has no password. Its name may be any bytes.
    ///
    /// # Errors
    /// If name or password cannot be one.
    pub fn new(
        ssid: &[u8],
        password: Option<&[u8]>,
        country: Option<[u8; 2]>,
    ) -> Result<Self, &'static str> {
        let name = Ssid::try_from(ssid).ok().filter(|name| !name.is_empty());
        let password = match password {
            None => None,
            Some(bytes) if is_password(bytes) => Password::try_from(bytes).ok(),
            Some(_) => return Err("a network's password has 8 to 63 bytes or 64 hex digits"),
        };
        Ok(Self {
            ssid: name.ok_or("a network's name has 1 to 32 bytes")?,
            password,
            country: country.unwrap_or(WORLD),
        })
    }

    fn station(&self) -> Config {
        let authentication = match self.password {
            None => AuthenticationMethodConfig::Open,
            // The weakest that is accepted. The driver speaks no WPA3: of networks
            // with both it takes WPA2, and those with WPA3 alone it cannot join.
            Some(password) => AuthenticationMethodConfig::Wpa2Personal(password),
        };
        Config::Station(
            StationConfig::default()
                .with_ssid(self.ssid)
                .with_authentication(authentication)
                // The strongest of all access points, not the first.
                .with_scan_method(ScanMethod::AllChannels),
        )
    }
}

fn is_password(bytes: &[u8]) -> bool {
    match bytes.len() {
        8..=63 => true,
        64 => bytes.iter().all(u8::is_ascii_hexdigit),
        _ => false,
    }
}

/// What is known of the radio outside of its task.
pub struct State {
    /// What goes through its network driver.
    pub seen: Seen,
    turns: AtomicU32,
    joined: AtomicBool,
    unresponsive: AtomicBool,
    losses: AtomicU32,
    rssi: AtomicI8,
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
            rssi: AtomicI8::new(NO_RSSI),
            orders: Signal::new(),
        }
    }

    /// How it is, where this was seen of it.
    pub fn get(&self, counts: Counts, blocked: bool) -> Radio {
        Radio {
            joined: self.joined.load(Ordering::Relaxed),
            heard: counts.heard,
            blocked,
            unresponsive: self.unresponsive.load(Ordering::Relaxed),
            turns: self.turns.load(Ordering::Relaxed),
        }
    }

    /// The task gets on.
    fn turn(&self) {
        self.turns.add(1, Ordering::Relaxed);
    }

    /// How often the network was lost.
    pub fn losses(&self) -> u32 {
        self.losses.load(Ordering::Relaxed)
    }

    /// How strong the access point is received.
    pub fn rssi_dbm(&self) -> Option<i8> {
        Some(self.rssi.load(Ordering::Relaxed)).filter(|rssi| *rssi != NO_RSSI)
    }

    /// Gives an order, in place of one that is not begun yet.
    pub fn order(&self, order: Order) {
        self.orders.signal(order);
    }

    fn answered(&self, in_time: bool) {
        self.unresponsive.store(!in_time, Ordering::Relaxed);
    }
}

/// Runs the radio, for ever.
///
/// Creating the driver again leaks some 200 bytes of heap, so the supervisor
/// should be sparing with [`Order::Reinitialise`].
pub async fn run(mut wifi: WIFI<'static>, network: Network, state: &'static State) -> ! {
    let mut queue = QUEUE;
    let mut country = network.country;
    loop {
        state.turn();
        match start(wifi.reborrow(), &network, country, queue) {
            Ok(controller) => {
                state.answered(true);
                let station = Station {
                    controller,
                    network: &network,
                    state,
                    clogged: false,
                };
                // Frames whose end the driver never told stay in its count for ever,
                // a new driver's as well: there must be room for as many more.
                if station.run().await {
                    queue = queue.saturating_add(QUEUE);
                }
            }
            Err(error) => {
                console::error(format_args!("wifi: no driver: {error}"));
                state.answered(false);
                country = WORLD;
                let _ = with_timeout(LONGEST_WAIT / 2, state.orders.wait()).await;
            }
        }
    }
}

/// Starts the driver.
fn start<'d>(
    wifi: WIFI<'d>,
    network: &Network,
    country: [u8; 2],
    queue: usize,
) -> Result<WifiController<'d>, WifiError> {
    let config = ControllerConfig::default()
        .with_country_info(CountryInfo::from(country))
        .with_rx_queue_size(6)
        .with_tx_queue_size(queue)
        .with_static_rx_buf_num(6)
        .with_dynamic_rx_buf_num(12)
        .with_dynamic_tx_buf_num(12)
        .with_rx_ba_win(6)
        .with_initial_config(network.station());
    let mut controller = WifiController::new(wifi, config)?;
    // Power saving is off from the beginning.
    if let Err(error) = controller.set_max_tx_power(TX_POWER) {
        console::warn(format_args!("wifi: transmits with little power: {error}"));
    }
    Ok(controller)
}

/// The driver while it is started.
struct Station<'a, 'd> {
    controller: WifiController<'d>,
    network: &'a Network,
    state: &'static State,
    /// It was blocked while the network was there.
    clogged: bool,
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

impl Station<'_, '_> {
    /// Joins, and joins again, until the driver is to be started anew. Says
    /// whether it was clogged.
    async fn run(mut self) -> bool {
        let mut wait = FIRST_WAIT;
        let mut told = None;
        loop {
            self.state.turn();
            let order = match self.join().await {
                Attempt::Joined => {
                    console::info(format_args!("wifi: joined {}", Name(&self.network.ssid)));
                    told = None;
                    let since = Instant::now();
                    let order = self.hold().await;
                    if since.elapsed() >= STABLE {
                        wait = FIRST_WAIT;
                    }
                    order
                }
                Attempt::Failed(reason) => {
                    if told != Some(reason) {
                        console::info(format_args!("{}", Line::NotJoined(reason)));
                        told = Some(reason);
                    }
                    None
                }
                Attempt::Ordered(order) => Some(order),
            };
            let order = match order {
                None => self.pause(&mut wait).await,
                some => some,
            };
            match order {
                Some(Order::Reinitialise) => return self.clogged,
                Some(Order::Rejoin | Order::Reset) => self.leave().await,
                None => {}
            }
        }
    }

    async fn join(&mut self) -> Attempt {
        let joining = with_timeout(JOIN, self.controller.connect_async());
        match select(joining, self.state.orders.wait()).await {
            Either::First(Ok(Ok(_))) => {
                self.state.answered(true);
                Attempt::Joined
            }
            Either::First(Ok(Err(ConnectionError::Failed(info)))) => {
                self.state.answered(true);
                Attempt::Failed(words(info.reason))
            }
            Either::First(Ok(Err(_))) => {
                self.leave().await;
                Attempt::Failed("driver error")
            }
            Either::First(Err(_)) => {
                self.leave().await;
                Attempt::Failed("no answer")
            }
            Either::Second(order) => Attempt::Ordered(order),
        }
    }

    /// Leaves the network, or ends joining it.
    async fn leave(&mut self) {
        let left = with_timeout(LEAVE, self.controller.disconnect_async()).await;
        self.state.answered(left.is_ok());
    }

    /// Waits until the network is lost or an order comes.
    async fn hold(&mut self) -> Option<Order> {
        self.state.joined.store(true, Ordering::Relaxed);
        let end = self.watch().await;
        let (reason, order) = match end {
            End::Lost(reason) => (reason, None),
            End::Ordered(order) => {
                self.leave().await;
                ("left", Some(order).filter(|order| *order != Order::Rejoin))
            }
        };
        self.state.joined.store(false, Ordering::Relaxed);
        self.state.rssi.store(NO_RSSI, Ordering::Relaxed);
        self.state.losses.add(1, Ordering::Relaxed);
        self.state.seen.broken();
        console::info(format_args!("{}", Line::LostWifi(reason)));
        order
    }

    async fn watch(&mut self) -> End {
        let mut before = self.state.seen.counts();
        let mut clogged = false;
        let end = self.until_lost(|counts: Counts| {
            clogged |= counts.is_blocked_since(&before);
            before = counts;
        });
        let end = end.await;
        self.clogged |= clogged;
        end
    }

    /// Looks after the connection each second.
    async fn until_lost(&self, mut look: impl FnMut(Counts)) -> End {
        let mut lost = pin!(self.controller.wait_for_disconnect_async());
        let mut ticker = Ticker::every(ASK);
        let mut rounds = 0u32;
        loop {
            self.state.turn();
            look(self.state.seen.counts());
            if rounds.is_multiple_of(ASK_RSSI) {
                let rssi = self.controller.rssi().ok();
                let rssi = rssi.and_then(|rssi| i8::try_from(rssi).ok());
                self.state
                    .rssi
                    .store(rssi.unwrap_or(NO_RSSI), Ordering::Relaxed);
            }
            rounds = rounds.wrapping_add(1);
            match select3(lost.as_mut(), ticker.next(), self.state.orders.wait()).await {
                Either3::First(Ok(info)) => return End::Lost(words(info.reason)),
                Either3::First(Err(_)) => return End::Lost("unknown"),
                Either3::Second(()) if self.controller.is_connected() => {}
                // The event may just have come, or was missed.
                Either3::Second(()) => {
                    return End::Lost(match poll_once(lost) {
                        core::task::Poll::Ready(Ok(info)) => words(info.reason),
                        _ => "unknown",
                    });
                }
                Either3::Third(order) => return End::Ordered(order),
            }
        }
    }

    /// Waits before the next attempt, each time twice as long.
    async fn pause(&mut self, wait: &mut Duration) -> Option<Order> {
        // Half of it for certain, so that devices do not all come at once.
        let half = *wait / 2;
        let jitter = seed::below(u32::try_from(half.as_millis()).unwrap_or(u32::MAX));
        *wait = (*wait * 2).min(LONGEST_WAIT);
        let timer = Timer::after(half + Duration::from_millis(jitter.into()));
        match select(timer, self.state.orders.wait()).await {
            Either::First(()) => None,
            Either::Second(order) => Some(order).filter(|order| *order == Order::Reinitialise),
        }
    }
}

/// A reason in plain words.
fn words(reason: DisconnectReason) -> &'static str {
    use DisconnectReason as Reason;
    match reason {
        Reason::NoAccessPointFound => "no access point",
        Reason::NoAccessPointFoundWithCompatibleSecurity
        | Reason::NoAccessPointFoundInAuthmodeThreshold => "no access point with this security",
        Reason::NoAccessPointFoundInRssiThreshold => "no access point near enough",
        Reason::FourWayHandshakeTimeout
        | Reason::HandshakeTimeout
        | Reason::AuthenticationFailed
        | Reason::MicFailure
        | Reason::_802_1xAuthenticationFailed => "wrong password",
        Reason::IeInvalid
        | Reason::IeIn4wayDiffers
        | Reason::GroupCipherInvalid
        | Reason::PairwiseCipherInvalid
        | Reason::AkmpInvalid
        | Reason::UnsupportedRsnIeVersion
        | Reason::InvalidRsnIeCapabilities
        | Reason::CipherSuiteRejected
        | Reason::BadCipherOrAkm
        | Reason::InvalidPmkid
        | Reason::InvalidMde
        | Reason::InvalidFte => "security mismatch",
        Reason::AuthenticationExpired => "authentication expired",
        Reason::AssociationFailed
        | Reason::ConnectionFailed
        | Reason::TransmissionLinkEstablishmentFailed
        | Reason::AssociationComebackTimeTooLong => "association failed",
        Reason::AssociationTooMany => "access point full",
        Reason::BeaconTimeout => "beacon timeout",
        Reason::AuthenticationLeave | Reason::AssociationLeave | Reason::StationLeaving => "left",
        Reason::DisassociatedDueToInactivity => "inactivity",
        Reason::Class2FrameFromNonAuthenticatedStation
        | Reason::Class3FrameFromNonAssociatedStation
        | Reason::AssociationNotAuthenticated => "forgotten by the access point",
        Reason::PeerInitiated | Reason::AccessPointInitiatedDisassociation => {
            "dismissed by the access point"
        }
        Reason::BssTransitionDisassociated
        | Reason::Roaming
        | Reason::AccessPointTsfReset
        | Reason::AlterativeChannelOccupied => "access point changed",
        Reason::GroupKeyUpdateTimeout => "key renewal timeout",
        Reason::SaQueryTimeout | Reason::Timeout | Reason::MissingAcks => "timeout",
        Reason::DisassociatedPowerCapabilityBad
        | Reason::DisassociatedUnsupportedChannel
        | Reason::NotAuthorizedThisLocation => "not allowed here",
        _ => "unspecified",
    }
}

/// A network's name as far as it is text.
struct Name<'a>(&'a Ssid);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.as_str();
        for char in text.chars() {
            if char.is_control() {
                fmt::Display::fmt(&char.escape_default(), f)?;
            } else {
                fmt::Write::write_char(f, char)?;
            }
        }
        if text.len() < self.0.len() {
            f.write_str("...")?;
        }
        Ok(())
    }
}
