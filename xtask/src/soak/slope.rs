//! A straight line through points, and how sure its slope is.

/// A slope, and the bounds between which it is with a probability of 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// The slope.
    pub value: f64,
    /// Half the width of the interval around it.
    pub margin: f64,
}

impl Slope {
    /// Of the line that fits best (least squares). Three points are needed.
    pub fn of(points: &[(f64, f64)]) -> Option<Self> {
        if points.len() < 3 {
            return None;
        }
        let count = points.len() as f64;
        let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
        let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        if spread <= 0.0 {
            return None;
        }
        let together = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y));
        let value = together.sum::<f64>() / spread;
        let rest = points
            .iter()
            .map(|(x, y)| (y - mean_y - value * (x - mean_x)).powi(2));
        let error = (rest.sum::<f64>() / (count - 2.0) / spread).sqrt();
        Some(Self {
            value,
            margin: student(points.len() - 2) * error,
        })
    }

    /// The least that it is.
    pub fn low(&self) -> f64 {
        self.value - self.margin
    }

    /// The most that it is.
    pub fn high(&self) -> f64 {
        self.value + self.margin
    }
}

/// The 97.5 % quantile of Student's distribution with so many degrees of freedom.
fn student(freedom: usize) -> f64 {
    const FEW: [f64; 10] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    ];
    match freedom.checked_sub(1).and_then(|index| FEW.get(index)) {
        Some(quantile) => *quantile,
        // Hill's expansion around the normal distribution.
        None => {
            let (z, n) = (1.959_964_f64, freedom.max(1) as f64);
            z + (z.powi(3) + z) / (4.0 * n)
                + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n.powi(2))
                + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z)
                    / (384.0 * n.powi(3))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of a table of the distribution.
    #[test]
    fn quantiles_are_those_of_the_table() {
        for (freedom, expected) in [
            (1, 12.706),
            (10, 2.228),
            (11, 2.201),
            (30, 2.042),
            (120, 1.980),
        ] {
            assert!((student(freedom) - expected).abs() < 0.001, "{freedom}");
        }
    }

    /// A leak that is taken for noise, or the other way round.
    #[test]
    fn a_slope_is_told_from_noise() {
        let noise = |index: u32| f64::from(index * 7 % 5) - 2.0;
        let flat: Vec<_> = (0..100).map(|i| (f64::from(i), noise(i))).collect();
        let flat = Slope::of(&flat).unwrap();
        assert!(flat.low() < 0.0 && flat.high() > 0.0, "{flat:?}");
        let rising: Vec<_> = (0..100)
            .map(|i| (f64::from(i), 0.5 * f64::from(i) + noise(i)))
            .collect();
        let rising = Slope::of(&rising).unwrap();
        assert!(rising.low() > 0.45 && rising.high() < 0.55, "{rising:?}");
        // By hand: y = 1, 2, 4 at 0, 1, 2.
        let three = Slope::of(&[(0.0, 1.0), (1.0, 2.0), (2.0, 4.0)]).unwrap();
        assert!((three.value - 1.5).abs() < 1e-9);
        assert!((three.margin - 12.706 * (1.0_f64 / 12.0).sqrt()).abs() < 1e-9);
        assert_eq!(Slope::of(&[(1.0, 1.0); 5]), None);
        assert_eq!(Slope::of(&[(1.0, 1.0), (2.0, 1.0)]), None);
    }
}
