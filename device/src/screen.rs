//! What a person sees: a panel of 128x64 points with an SSD1306 behind I2C.
//!
//! ```text
//! View ──► Screen::draw ──► Frame ──► Panel::step ──► I2C
//! ```
//!
//! A [`View`] is plain data: which page, and what stands on it. [`Screen::draw`] makes
//! a picture of it in a [`Frame`], and says when the picture changes by itself.
//! [`Panel::step`] brings to the panel what differs from what it is known to show, in
//! transfers of 5 ms at most, and finds it again after any error. Drawing never waits
//! for the panel: without one, pictures are made and nobody sees them.
//!
//! ```
//! use core::cell::RefCell;
//!
//! use aldis_device::screen::{Frame, Page, Readings, Screen, Status, View};
//! use aldis_mqtt::Instant;
//!
//! let frame = RefCell::new(Frame::new());
//! let screen = Screen::new(&frame);
//! let view = View {
//!     page: Page::Readings(Readings::default()),
//!     status: Status::default(),
//!     uptime_ms: 0,
//!     awake_ms: 0,
//! };
//! let now = Instant::from_millis(0);
//! // Draw again when the view is another, and at this moment at the latest.
//! let next = screen.draw(&view, now);
//! assert!(next > now);
//! assert!(frame.borrow().next().is_some());
//! ```
//!
//! # Burn-in
//!
//! A point of such a panel wears by what it is lit. So the picture moves by one point
//! each minute within 3x3 places, which takes the edge off what always stands there;
//! a minute after the last wake ([`View::awake_ms`]) the panel is [`Light::Dim`], at
//! a twentieth of its current; and it can be dark after a while
//! ([`Screen::dark_after`]).

mod canvas;
mod fonts;
mod frame;
mod pages;
mod panel;
pub mod text;
mod view;

pub use frame::{Chunk, Frame, HEIGHT, PAGES, WIDTH};
pub use pages::Screen;
pub use panel::{Light, Panel, Rotation, Step, Unreachable};
pub use view::{
    Boot, Contact, Message, Morse, Notice, Page, Presets, Readings, Status, View, Waiting, Wifi,
};
