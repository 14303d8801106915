//! esp-radio's driver as the radio's task wants it.

use aldis_embassy::console::Line;
use aldis_embassy::radio::{Driver, Station, Surroundings, Trouble};
use aldis_flash::config::Level;
use esp_hal::peripherals::WIFI;
use esp_radio::wifi::sta::{ScanMethod, StationConfig};
use esp_radio::wifi::{
    AuthenticationMethodConfig, Config, ConnectionError, ControllerConfig, CountryInfo,
    DisconnectReason, Password, Ssid, WifiController, WifiError,
};

use crate::{console, seed};

/// Quarters of a dBm: 15 dBm. More makes some boards fail.
const TX_POWER: i8 = 60;
/// The rules that hold anywhere.
const WORLD: [u8; 2] = *b"01";
/// Frames that the driver takes at once.
const QUEUE: usize = 6;

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

/// The radio, while no driver runs.
pub struct EspDriver {
    wifi: WIFI<'static>,
    network: Network,
    country: [u8; 2],
}

impl EspDriver {
    /// A radio for this network.
    pub fn new(wifi: WIFI<'static>, network: Network) -> Self {
        Self {
            wifi,
            network,
            country: network.country,
        }
    }
}

impl Driver for EspDriver {
    type Station<'d> = EspStation<'d>;

    /// Frames whose end the driver never told stay in its count for ever, a new
    /// driver's as well: there must be room for as many more each time.
    fn start(&mut self, clogged: u32) -> Result<EspStation<'_>, &'static str> {
        let rooms = usize::try_from(clogged).unwrap_or(usize::MAX).min(7) + 1;
        let started = controller(
            self.wifi.reborrow(),
            &self.network,
            self.country,
            QUEUE.saturating_mul(rooms),
        );
        match started {
            Ok(controller) => Ok(EspStation { controller }),
            Err(error) => {
                console::line(Level::Error, format_args!("wifi: {error}"));
                // A country that the driver does not know.
                self.country = WORLD;
                Err("it does not start")
            }
        }
    }
}

/// Starts the driver.
fn controller<'d>(
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

/// The driver while it runs.
pub struct EspStation<'d> {
    controller: WifiController<'d>,
}

impl Station for EspStation<'_> {
    async fn join(&mut self) -> Result<(), Trouble> {
        // An attempt that was given up may have succeeded all the same.
        if self.controller.is_connected() {
            return Ok(());
        }
        match self.controller.connect_async().await {
            Ok(_) => Ok(()),
            Err(ConnectionError::Failed(info)) => Err(Trouble::Refused(words(info.reason))),
            Err(_) => Err(Trouble::Driver),
        }
    }

    async fn leave(&mut self) {
        // One that is neither joined nor joining has left.
        let _ = self.controller.disconnect_async().await;
    }

    async fn lost(&self) -> &'static str {
        match self.controller.wait_for_disconnect_async().await {
            Ok(info) => words(info.reason),
            Err(_) => "unknown",
        }
    }

    fn is_joined(&self) -> bool {
        self.controller.is_connected()
    }

    fn rssi_dbm(&self) -> Option<i8> {
        let rssi = self.controller.rssi().ok()?;
        i8::try_from(rssi).ok()
    }
}

/// Console and chance of the chip.
pub struct Chip;

impl Surroundings for Chip {
    fn chance(&self, bound: u32) -> u32 {
        seed::below(bound)
    }

    fn print(&self, level: Level, line: Line<'_>) {
        console::line(level, format_args!("{line}"));
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
