//! The crate `ssd1306`, which drives real panels, drives the model.

mod common;

use std::cell::RefCell;

use aldis_panel::{Picture, Ssd1306 as Panel, Wired};
use common::{pages, scene};
use display_interface::DisplayError;
use embassy_futures::block_on;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_6X10;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{Circle, Line, PrimitiveStyle};
use embedded_graphics::text::Text;
use ssd1306::command::AddrMode;
use ssd1306::mode::DisplayConfig;
use ssd1306::prelude::{Brightness, DisplayRotation, DisplaySize128x64};
use ssd1306::{I2CDisplayInterface, Ssd1306, Ssd1306Async};

/// What is drawn, without a display in between. As wide and high as was asked for.
struct Canvas {
    size: Size,
    lit: Vec<Point>,
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Canvas {
    type Color = BinaryColor;
    type Error = core::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Self::Error> {
        for Pixel(at, colour) in pixels {
            self.lit.retain(|lit| *lit != at);
            if colour.is_on() && self.bounding_box().contains(at) {
                self.lit.push(at);
            }
        }
        Ok(())
    }
}

fn draw<D: DrawTarget<Color = BinaryColor>>(target: &mut D) {
    let style = MonoTextStyle::new(&FONT_6X10, BinaryColor::On);
    let line = PrimitiveStyle::with_stroke(BinaryColor::On, 1);
    let drawn = Text::new("Aldis 21.5", Point::new(2, 9), style).draw(target).is_ok()
        && Circle::new(Point::new(30, 20), 25).into_styled(line).draw(target).is_ok()
        && Line::new(Point::new(0, 63), Point::new(63, 40)).into_styled(line).draw(target).is_ok()
        // Over the edge.
        && Circle::new(Point::new(110, 50), 30).into_styled(line).draw(target).is_ok();
    assert!(drawn);
}

/// What was drawn on a canvas of this size, with each point brought to the panel.
fn drawn(size: Size, to_panel: impl Fn(i32, i32) -> (i32, i32)) -> Picture {
    let mut canvas = Canvas {
        size,
        lit: Vec::new(),
    };
    draw(&mut canvas);
    let mut picture = Picture::DARK;
    for at in canvas.lit {
        let (x, y) = to_panel(at.x, at.y);
        picture.set(x.try_into().unwrap(), y.try_into().unwrap(), true);
    }
    assert!(picture.lit() > 150, "something was drawn");
    picture
}

/// What the blocking driver shows, in its buffered mode.
fn shown(rotation: DisplayRotation) -> Picture {
    let mut panel = Panel::new();
    let mut display = Ssd1306::new(
        I2CDisplayInterface::new(&mut panel),
        DisplaySize128x64,
        rotation,
    )
    .into_buffered_graphics_mode();
    display.init().unwrap();
    display.clear(BinaryColor::Off).unwrap();
    draw(&mut display);
    display.flush().unwrap();
    assert_eq!(panel.unknown(), 0);
    assert_eq!(panel.awaits(), None);
    panel.picture()
}

#[test]
fn what_the_blocking_driver_draws_is_seen_as_drawn() {
    assert_eq!(
        shown(DisplayRotation::Rotate0),
        drawn(Size::new(128, 64), |x, y| (x, y))
    );
}

#[test]
fn rotated_by_half_a_turn_it_is_seen_upside_down() {
    let upright = drawn(Size::new(128, 64), |x, y| (x, y));
    assert_eq!(
        shown(DisplayRotation::Rotate180).rotated_180(),
        upright,
        "held with its pins at the bottom, it is as drawn"
    );
}

#[test]
fn rotated_by_a_quarter_it_is_turned_and_not_mirrored() {
    let size = Size::new(64, 128);
    assert_eq!(
        shown(DisplayRotation::Rotate90),
        drawn(size, |x, y| (127 - y, x))
    );
    assert_eq!(
        shown(DisplayRotation::Rotate270),
        drawn(size, |x, y| (y, 63 - x))
    );
}

#[test]
fn a_partial_flush_sends_and_changes_only_what_was_drawn() {
    let panel = RefCell::new(Panel::new());
    let mut display = Ssd1306::new(
        I2CDisplayInterface::new(Wired(&panel)),
        DisplaySize128x64,
        DisplayRotation::Rotate0,
    )
    .into_buffered_graphics_mode();
    display.init().unwrap();
    display.clear(BinaryColor::Off).unwrap();
    draw(&mut display);
    display.flush().unwrap();
    let whole = panel.borrow_mut().take_bus_bits();
    display.set_pixel(77, 33, true);
    display.flush().unwrap();
    let part = panel.borrow_mut().take_bus_bits();
    assert!(part < 200 && whole > 9 * 1024, "{part} of {whole}");
    let mut expected = drawn(Size::new(128, 64), |x, y| (x, y));
    expected.set(77, 33, true);
    assert_eq!(panel.borrow().picture(), expected);
}

#[test]
fn the_async_driver_in_basic_mode_sends_an_area() {
    let mut panel = Panel::new();
    block_on(async {
        let mut display = Ssd1306Async::new(
            I2CDisplayInterface::new(&mut panel),
            DisplaySize128x64,
            DisplayRotation::Rotate0,
        );
        display
            .init_with_addr_mode(AddrMode::Horizontal)
            .await
            .unwrap();
        display.set_draw_area((0, 0), (128, 64)).await.unwrap();
        display.draw(&pages(&scene())).await.unwrap();
        // A piece of it: columns 8 to 11 of the pages 2 and 3.
        display.set_draw_area((8, 16), (12, 32)).await.unwrap();
        display.draw(&[0xFF; 8]).await.unwrap();
    });
    let expected = Picture::from_fn(|x, y| {
        scene().get(x, y) || ((8..12).contains(&x) && (16..32).contains(&y))
    });
    assert_eq!(panel.picture(), expected);
}

#[test]
fn the_async_driver_in_basic_mode_sends_page_by_page() {
    let mut panel = Panel::new();
    block_on(async {
        let mut display = Ssd1306Async::new(
            I2CDisplayInterface::new(&mut panel),
            DisplaySize128x64,
            DisplayRotation::Rotate180,
        );
        display.init_with_addr_mode(AddrMode::Page).await.unwrap();
        for (row, page) in (0..).step_by(8).zip(pages(&scene()).chunks(128)) {
            display.set_row(row).await.unwrap();
            display.set_column(0).await.unwrap();
            display.draw(page).await.unwrap();
        }
    });
    assert_eq!(panel.picture().rotated_180(), scene());
}

#[test]
fn the_settings_of_the_driver_arrive() {
    let mut panel = Panel::new();
    block_on(async {
        let mut display = Ssd1306Async::new(
            I2CDisplayInterface::new(&mut panel),
            DisplaySize128x64,
            DisplayRotation::Rotate0,
        );
        display
            .init_with_addr_mode(AddrMode::Horizontal)
            .await
            .unwrap();
        display.draw(&pages(&scene())).await.unwrap();
        display.set_brightness(Brightness::DIMMEST).await.unwrap();
        display.set_invert(true).await.unwrap();
    });
    assert_eq!(panel.contrast(), 0);
    assert_eq!(panel.picture(), Picture::from_fn(|x, y| !scene().get(x, y)));
}

/// Starts a panel and draws all of it.
async fn all(panel: &mut Panel) -> Result<(), DisplayError> {
    let mut display = Ssd1306Async::new(
        I2CDisplayInterface::new(panel),
        DisplaySize128x64,
        DisplayRotation::Rotate0,
    );
    display.init_with_addr_mode(AddrMode::Horizontal).await?;
    display.set_draw_area((0, 0), (128, 64)).await?;
    display.draw(&pages(&scene())).await
}

#[test]
fn each_fault_reaches_the_driver_and_ends() {
    let mut panel = Panel::new();
    panel.unplug();
    block_on(all(&mut panel)).unwrap_err();
    panel.replug();
    panel.hold_low(true);
    block_on(all(&mut panel)).unwrap_err();
    panel.hold_low(false);
    block_on(all(&mut panel)).unwrap();
    assert_eq!(panel.picture(), scene());
}

#[test]
fn unplugged_at_any_byte_the_driver_sees_it_and_another_start_draws_it_all() {
    let mut panel = Panel::new();
    block_on(all(&mut panel)).unwrap();
    let whole = panel.take_traffic();
    // Without the addresses.
    let bytes = whole.bytes - whole.transactions;
    for left in 0..bytes {
        let mut panel = Panel::new();
        panel.unplug_after(left);
        assert!(block_on(all(&mut panel)).is_err(), "after {left}");
        assert_eq!(panel.picture(), Picture::DARK);
        panel.replug();
        assert_ne!(panel.ram(), scene());
        block_on(all(&mut panel)).unwrap();
        assert_eq!(panel.picture(), scene(), "after {left}");
    }
}
