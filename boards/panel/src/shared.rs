//! A panel that its driver shares with whoever looks at it.

use core::cell::RefCell;

use embedded_hal::i2c::{self, Operation};

use crate::{Error, Ssd1306};

/// The bus to a panel that someone else looks at in between, on the same thread.
#[derive(Clone, Copy, Debug)]
pub struct Wired<'a>(pub &'a RefCell<Ssd1306>);

impl Wired<'_> {
    /// While someone looks, the bus is in use.
    fn transact(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        self.0
            .try_borrow_mut()
            .map_err(|_| Error::Bus)?
            .transact(address, operations)
    }
}

/// A panel that threads share: a bus for the driver, and something to look at for
/// others. A clone is the same panel.
#[cfg(feature = "std")]
#[derive(Clone, Debug, Default)]
pub struct Shared(std::sync::Arc<std::sync::Mutex<Ssd1306>>);

#[cfg(feature = "std")]
impl Shared {
    /// Shares this panel.
    #[must_use]
    pub fn new(panel: Ssd1306) -> Self {
        Self(std::sync::Arc::new(std::sync::Mutex::new(panel)))
    }

    /// Whoever holds the panel keeps its driver waiting.
    pub fn lock(&self) -> std::sync::MutexGuard<'_, Ssd1306> {
        // A panel has no state in between that a panic could leave behind.
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn transact(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        self.lock().transact(address, operations)
    }
}

macro_rules! bus {
    ($($bus:ty)*) => {$(
        impl i2c::ErrorType for $bus {
            type Error = Error;
        }

        impl i2c::I2c for $bus {
            fn transaction(
                &mut self,
                address: u8,
                operations: &mut [Operation<'_>],
            ) -> Result<(), Error> {
                self.transact(address, operations)
            }
        }

        impl embedded_hal_async::i2c::I2c for $bus {
            async fn transaction(
                &mut self,
                address: u8,
                operations: &mut [Operation<'_>],
            ) -> Result<(), Error> {
                self.transact(address, operations)
            }
        }
    )*};
}

bus!(Ssd1306 Wired<'_>);
#[cfg(feature = "std")]
bus!(Shared);
