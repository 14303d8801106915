//! The five bytes of an answer.

use aldis_protocol::Reading;

use super::{Error, Model};

/// The five bytes of an answer, as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame([u8; 5]);

impl Frame {
    /// The lowest 40 bits, first bit highest.
    pub(super) const fn from_bits(bits: u64) -> Self {
        let [_, _, _, a, b, c, d, sum] = bits.to_be_bytes();
        Self([a, b, c, d, sum])
    }

    /// What a sensor sends after four bytes of values: the bytes and their sum.
    const fn with_sum([a, b, c, d]: [u8; 4]) -> Self {
        Self([a, b, c, d, sum([a, b, c, d])])
    }

    /// What a DHT22 sends for a reading.
    pub const fn dht22(reading: Reading) -> Self {
        let sign = if reading.t < 0 { 0x8000 } else { 0 };
        let [a, b] = reading.h.to_be_bytes();
        let [c, d] = (reading.t.unsigned_abs() | sign).to_be_bytes();
        Self::with_sum([a, b, c, d])
    }

    /// What a DHT11 sends for whole percents and degrees.
    pub const fn dht11(percent: u8, celsius: u8) -> Self {
        Self::with_sum([percent, 0, celsius, 0])
    }

    /// The bytes, in the order they are sent.
    pub const fn bytes(self) -> [u8; 5] {
        self.0
    }

    /// What the bytes mean.
    ///
    /// # Errors
    /// [`Error::Checksum`] if the sum is wrong, [`Error::Model`] if the values lie outside what
    /// the model measures.
    pub fn reading(self, model: Model) -> Result<Reading, Error> {
        let [a, b, c, d, check] = self.0;
        if sum([a, b, c, d]) != check {
            return Err(Error::Checksum);
        }
        match model {
            Model::Dht22 => self.as_dht22(),
            Model::Dht11 => self.as_dht11(),
            Model::Auto => self.as_dht22().or_else(|| self.as_dht11()),
        }
        .ok_or(Error::Model)
    }

    /// 0 to 100 %, -40 to 80 °C.
    fn as_dht22(self) -> Option<Reading> {
        let [a, b, c, d, _] = self.0;
        let h = u16::from_be_bytes([a, b]);
        let t = match u16::from_be_bytes([c, d]) {
            warm @ ..=800 => i16::try_from(warm).ok()?,
            cold @ 0x8000..=0x8190 => i16::try_from(cold & 0x7fff).ok()?.checked_neg()?,
            // The clones' two's complement.
            cold @ 0xfe70.. => cold.cast_signed(),
            _ => return None,
        };
        (h <= 1000).then_some(Reading { t, h })
    }

    /// 5 to 95 %, -20 to 60 °C: the newer kind's range, which has the older one's in it. Decimals
    /// are one digit; the temperature's has the sign in its highest bit.
    fn as_dht11(self) -> Option<Reading> {
        let [percent, percent_tenths, celsius, celsius_tenths, _] = self.0;
        let tenths = |whole: u8, digit: u8| {
            let whole = u16::from(whole).checked_mul(10)?;
            (digit <= 9).then_some(whole.checked_add(u16::from(digit))?)
        };
        let h = tenths(percent, percent_tenths)?;
        let magnitude = i16::try_from(tenths(celsius, celsius_tenths & 0x7f)?).ok()?;
        let t = if celsius_tenths & 0x80 == 0 {
            magnitude
        } else {
            magnitude.checked_neg()?
        };
        ((50..=950).contains(&h) && (-200..=600).contains(&t)).then_some(Reading { t, h })
    }
}

const fn sum([a, b, c, d]: [u8; 4]) -> u8 {
    a.wrapping_add(b).wrapping_add(c).wrapping_add(d)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decoding DHT11 bytes as a DHT22's would give 921.6 %, and the other way round 2 % at 1 °C.
    #[test]
    fn no_bytes_are_plausible_as_both_models() {
        for high in 0..=u16::MAX {
            let [a, b] = high.to_be_bytes();
            // The temperature that both accept, so that humidity alone decides.
            let frame = Frame::with_sum([a, b, 1, 4]);
            assert!(
                frame.as_dht22().is_none() || frame.as_dht11().is_none(),
                "{frame:?} is both"
            );
        }
    }

    /// A clone's -0.1 °C would be refused, or a sensor's -7.8 °C be read as -3269.0.
    #[test]
    fn both_notations_below_zero_are_understood() {
        for t in -400..0i16 {
            let expected = Ok(Reading { t, h: 500 });
            let [c, d] = t.to_be_bytes();
            assert_eq!(
                Frame::dht22(Reading { t, h: 500 }).reading(Model::Dht22),
                expected
            );
            assert_eq!(
                Frame::with_sum([1, 244, c, d]).reading(Model::Dht22),
                expected
            );
        }
    }

    /// Values next to the data sheet's limits: the last good and the first impossible.
    #[test]
    fn limits_are_the_data_sheets() {
        let dht22 = |t, h| Frame::dht22(Reading { t, h }).reading(Model::Dht22);
        assert_eq!(dht22(800, 1000), Ok(Reading { t: 800, h: 1000 }));
        assert_eq!(dht22(-400, 0), Ok(Reading { t: -400, h: 0 }));
        assert_eq!(dht22(801, 1000), Err(Error::Model));
        assert_eq!(dht22(-401, 1000), Err(Error::Model));
        assert_eq!(dht22(200, 1001), Err(Error::Model));
        let clone = |t: i16| {
            let [c, d] = t.to_be_bytes();
            Frame::with_sum([1, 244, c, d]).reading(Model::Dht22)
        };
        assert_eq!(clone(-400), Ok(Reading { t: -400, h: 500 }));
        assert_eq!(clone(-401), Err(Error::Model));

        let dht11 = |bytes| Frame::with_sum(bytes).reading(Model::Dht11);
        assert_eq!(dht11([5, 0, 60, 0]), Ok(Reading { t: 600, h: 50 }));
        assert_eq!(dht11([95, 0, 20, 0x80]), Ok(Reading { t: -200, h: 950 }));
        assert_eq!(dht11([36, 9, 7, 0x85]), Ok(Reading { t: -75, h: 369 }));
        assert_eq!(dht11([4, 9, 20, 0]), Err(Error::Model));
        assert_eq!(dht11([95, 1, 20, 0]), Err(Error::Model));
        assert_eq!(dht11([50, 0, 60, 1]), Err(Error::Model));
        assert_eq!(dht11([50, 0, 20, 0x81]), Err(Error::Model));
        assert_eq!(dht11([50, 10, 20, 0]), Err(Error::Model));
    }
}
