//! The brown-out detector: resets the chip when the supply sags, where it would
//! compute nonsense otherwise. esp-hal leaves it off.

#[cfg(not(feature = "esp32c6"))]
use esp_hal::peripherals::LPWR;

/// After how many slow clock cycles of low voltage the chip is reset.
#[cfg(not(feature = "esp32"))]
const WAIT: u16 = 0x3ff;
/// The lowest threshold, about 2.5 V. The ESP32 counts the other way.
const LOWEST: u8 = if cfg!(feature = "esp32") { 0 } else { 7 };
/// Where the threshold is, on the bus of the analog parts.
#[cfg(not(feature = "esp32"))]
const BLOCK: u8 = 0x61;
#[cfg(not(feature = "esp32"))]
const REGISTER: u8 = 5;

/// Switches the detector on.
///
/// Older ESP32 do not start after a reset by the detector itself (an erratum), so
/// it interrupts, and the firmware resets the chip. The flash chip stays on for
/// that.
#[cfg(feature = "esp32")]
pub fn watch() {
    use esp_hal::interrupt::bind_handler;
    use esp_hal::peripherals::Interrupt;

    #[esp_hal::handler(priority = esp_hal::interrupt::Priority::max())]
    fn sagged() {
        let clock = LPWR::regs();
        if clock.int_st().read().brown_out().bit_is_set() {
            crate::reset::brownout();
        }
        // Another interrupt of the same source, left on by whoever ran before.
        clock.int_ena().write(|w| w.brown_out().set_bit());
    }

    let clock = LPWR::regs();
    // The register outlives a reset.
    clock.int_ena().reset();
    clock.brown_out().write(|w| {
        w.pd_rf_ena().set_bit();
        // SAFETY: the value fits its field of 3 bits.
        unsafe { w.dbrown_out_thres().bits(LOWEST) };
        w.ena().set_bit()
    });
    // The detector settles, and what it said meanwhile is void.
    crate::console::wait(200);
    clock.int_clr().write(|w| w.brown_out().clear_bit_by_one());
    crate::console::wait(200);
    // One that says so all the time would reset the chip for ever: a device that
    // works without is better than one that never starts.
    if clock.int_raw().read().brown_out().bit_is_set() {
        clock.brown_out().modify(|_, w| w.ena().clear_bit());
        crate::console::warn(format_args!(
            "brownout: not watched, the supply is low already"
        ));
        return;
    }
    bind_handler(Interrupt::RTC_CORE, sagged);
    clock.int_ena().write(|w| w.brown_out().set_bit());
}

/// Switches the detector on.
#[cfg(any(feature = "esp32c3", feature = "esp32s3"))]
pub fn watch() {
    /// Who talks on the bus.
    const HOST: u8 = if cfg!(feature = "esp32s3") { 1 } else { 0 };
    unsafe extern "C" {
        fn rom_i2c_writeReg_Mask(block: u8, host: u8, register: u8, msb: u8, lsb: u8, data: u8);
    }
    // SAFETY: a function of the ROM; it writes the three bits of the threshold
    // and nothing else, and nobody else is on that bus before the radio starts.
    unsafe { rom_i2c_writeReg_Mask(BLOCK, HOST, REGISTER, 2, 0, LOWEST) };
    LPWR::regs().brown_out().write(|w| {
        w.brown_out_close_flash_ena().set_bit();
        w.brown_out_pd_rf_ena().set_bit();
        w.brown_out_rst_ena().set_bit();
        w.brown_out_rst_sel().set_bit();
        // SAFETY: both values fit their fields of 10 bits.
        unsafe {
            w.brown_out_int_wait().bits(2);
            w.brown_out_rst_wait().bits(WAIT);
        }
        w.brown_out_ena().set_bit()
    });
}

/// Switches the detector on.
#[cfg(feature = "esp32c6")]
pub fn watch() {
    use esp_hal::peripherals::LP_ANA;

    threshold();
    LP_ANA::regs().bod_mode0_cntl().write(|w| {
        w.bod_mode0_close_flash_ena().set_bit();
        w.bod_mode0_pd_rf_ena().set_bit();
        w.bod_mode0_reset_ena().set_bit();
        w.bod_mode0_reset_sel().set_bit();
        // SAFETY: both values fit their fields of 10 bits.
        unsafe {
            w.bod_mode0_intr_wait().bits(2);
            w.bod_mode0_reset_wait().bits(WAIT);
        }
        w.bod_mode0_intr_ena().set_bit()
    });
}

/// Sets the lowest threshold. The ROM of the ESP32-C6 has no function for it.
#[cfg(feature = "esp32c6")]
fn threshold() {
    use esp_hal::peripherals::{I2C_ANA_MST, MODEM_LPCON};

    let (clock, bus) = (MODEM_LPCON::regs(), I2C_ANA_MST::regs());
    clock.clk_conf().modify(|_, w| w.clk_i2c_mst_en().set_bit());
    clock
        .i2c_mst_clk_conf()
        .modify(|_, w| w.clk_i2c_mst_sel_160m().set_bit());
    let second = bus.ana_conf2().read().ulp_cal_mst_sel().bit_is_set();
    let control = bus.i2c_ctrl(usize::from(!second));
    // SAFETY: all blocks deselected but this one, as esp-hal does it.
    bus.ana_conf1().write(|w| unsafe {
        w.bits(0x00ff_ffff);
        w.ulp_cal_rd().clear_bit()
    });
    // The bus answers within microseconds; the bound is for a chip without it.
    let idle = || (0..10_000).any(|_| control.read().busy().bit_is_clear());
    if !idle() {
        return;
    }
    // SAFETY: an address of 8 bits on the bus, and a register of it.
    control.write(|w| unsafe {
        w.slave_addr().bits(BLOCK);
        w.slave_reg_addr().bits(REGISTER)
    });
    if !idle() {
        return;
    }
    let value = control.read().data().bits() & !7 | LOWEST;
    // SAFETY: as above; the three bits of the threshold change and nothing else.
    control.write(|w| unsafe {
        w.slave_addr().bits(BLOCK);
        w.slave_reg_addr().bits(REGISTER);
        w.read_write().set_bit();
        w.data().bits(value)
    });
    idle();
}
