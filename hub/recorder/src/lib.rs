//! The recorder of an Aldis installation: an MQTT client that stores what devices say.
//!
//! A message is acknowledged to the broker when it is stored, and a reading is confirmed to its
//! device when everything up to it is. So whoever of broker, recorder and device dies at whatever
//! moment: what is not stored yet is still with the device or the broker, and comes again; what
//! comes again is stored once ([`aldis_history`]).
//!
//! Several recorders share the work of one broker: each message goes to one of them
//! ([`RecorderOptions::share`]).

mod arrivals;
mod behind;
mod figures;
mod housekeeping;
mod listening;
mod lives;
mod newcomers;
mod odd;
mod options;
mod recorder;
mod waited;

pub use figures::Figures;
pub use options::{Clock, Paired, RecorderOptions, wall_clock};
pub use recorder::{Recorder, RecorderError, RunningRecorder, TOLD};
