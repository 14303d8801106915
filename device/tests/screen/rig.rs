//! A screen with a panel on its bus.

use core::cell::RefCell;

use aldis_device::screen::{Frame, Panel, Rotation, Screen, Step, Unreachable, View};
use aldis_mqtt::Instant;
use aldis_panel::{Picture, Ssd1306, Wired};
use embassy_futures::block_on;

/// 5 ms at 400 kHz.
pub const STEP_BITS: u64 = 2_000;

/// What the panel and its driver share.
pub struct Rig {
    pub model: RefCell<Ssd1306>,
    pub frame: RefCell<Frame>,
}

impl Rig {
    pub fn new() -> Self {
        Self {
            model: RefCell::new(Ssd1306::new()),
            frame: RefCell::new(Frame::new()),
        }
    }

    pub fn panel(&self) -> Panel<Wired<'_>> {
        Panel::new(
            Wired(&self.model),
            Panel::<Wired<'_>>::ADDRESS,
            Rotation::Upright,
        )
    }

    pub fn draw(&self, view: &View<'_>) -> Instant {
        Screen::new(&self.frame).draw(view, now(0))
    }

    /// One step; its time on the bus is looked at.
    pub fn step(&self, panel: &mut Panel<Wired<'_>>, at: Instant) -> Result<Step, Unreachable> {
        let step = block_on(panel.step(&self.frame, at));
        let bits = self.model.borrow_mut().take_bus_bits();
        assert!(bits <= STEP_BITS, "{bits} bit times in one step");
        step
    }

    /// Steps until nothing is to be done. Says how many there were.
    pub fn settle(&self, panel: &mut Panel<Wired<'_>>, at: Instant) -> usize {
        for steps in 0..100 {
            if let Step::Idle(_) = self.step(panel, at).expect("the panel is there") {
                return steps;
            }
        }
        panic!("it has always something to send");
    }

    pub fn wanted(&self) -> Picture {
        let frame = self.frame.borrow();
        Picture::from_fn(|x, y| frame.point(x.into(), y.into()))
    }

    pub fn seen(&self) -> Picture {
        self.model.borrow().picture()
    }

    /// A person sees the picture, and the panel was told nothing that it does not know.
    #[track_caller]
    pub fn assert_shown(&self) {
        assert!(self.model.borrow().is_on(), "the panel is dark");
        let (seen, wanted) = (self.seen(), self.wanted());
        assert!(seen == wanted, "seen:\n{seen}wanted:\n{wanted}");
        assert_eq!(self.model.borrow().unknown(), 0);
    }
}

pub const fn now(ms: u64) -> Instant {
    Instant::from_millis(ms)
}
