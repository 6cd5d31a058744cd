//! Gaps between requests, drawn from the two families that ServeGen fits.
//!
//! Logarithms and powers come from `libm`, which computes them in software, and everything else is
//! basic arithmetic: the same seed gives the same gaps on every machine, which the platform's own
//! functions do not promise.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A distribution of gaps; shape and scale are above zero, the scale is in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gaps {
    /// Mean: shape * scale. Squared coefficient of variation: 1 / shape.
    Gamma {
        /// Below 1 the gaps come in bursts, above they are even.
        shape: f64,
        /// Seconds.
        scale: f64,
    },
    /// Mean: scale * gamma(1 + 1 / shape).
    Weibull {
        /// Below 1 the gaps come in bursts, above they are even.
        shape: f64,
        /// Seconds.
        scale: f64,
    },
}

impl Gaps {
    /// One gap in seconds, never below zero.
    pub fn draw_s(self, rng: &mut ChaCha8Rng) -> f64 {
        match self {
            Gaps::Gamma { shape, scale } => scale * gamma(shape, rng),
            Gaps::Weibull { shape, scale } => {
                scale * libm::pow(-libm::log(above_zero(rng)), 1.0 / shape)
            }
        }
    }
}

/// A gamma variate of scale 1. Marsaglia and Tsang, "A simple method for generating gamma
/// variables", ACM TOMS 26(3), 2000; below shape 1 by their boost.
fn gamma(shape: f64, rng: &mut ChaCha8Rng) -> f64 {
    if shape < 1.0 {
        let boost = libm::pow(above_zero(rng), 1.0 / shape);
        return gamma(shape + 1.0, rng) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let root = 1.0 + c * x;
        if root <= 0.0 {
            continue;
        }
        let v = root * root * root;
        if libm::log(above_zero(rng)) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

/// A standard normal variate, by Marsaglia's polar method.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    loop {
        let x = 2.0 * rng.random::<f64>() - 1.0;
        let y = 2.0 * rng.random::<f64>() - 1.0;
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return x * (-2.0 * libm::log(square) / square).sqrt();
        }
    }
}

/// A number above 0 and at most 1, whose logarithm exists.
fn above_zero(rng: &mut ChaCha8Rng) -> f64 {
    1.0 - rng.random::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::generator;

    #[test]
    fn mean_and_variation_of_the_gaps_are_those_of_the_family() {
        let weibull_mean = |shape: f64, scale: f64| scale * libm::tgamma(1.0 + 1.0 / shape);
        for (gaps, mean, variation) in [
            (Gaps::Gamma { shape: 1.0, scale: 2.0 }, 2.0, 1.0),
            (Gaps::Gamma { shape: 4.0, scale: 0.5 }, 2.0, 0.5),
            (Gaps::Gamma { shape: 0.25, scale: 8.0 }, 2.0, 2.0),
            (Gaps::Weibull { shape: 1.0, scale: 3.0 }, 3.0, 1.0),
            (Gaps::Weibull { shape: 2.0, scale: 3.0 }, weibull_mean(2.0, 3.0), 0.522_723),
            (Gaps::Weibull { shape: 0.5, scale: 1.0 }, weibull_mean(0.5, 1.0), 2.236_068),
        ] {
            let mut rng = generator(5, 9);
            let n = 200_000;
            let drawn: Vec<f64> = (0..n).map(|_| gaps.draw_s(&mut rng)).collect();
            assert!(drawn.iter().all(|gap| gap.is_finite() && *gap >= 0.0));
            let own_mean = drawn.iter().sum::<f64>() / f64::from(n);
            let spread = drawn.iter().map(|gap| (gap - own_mean) * (gap - own_mean)).sum::<f64>();
            let own_variation = (spread / f64::from(n)).sqrt() / own_mean;
            assert!((own_mean / mean - 1.0).abs() < 0.02, "{gaps:?}: mean {own_mean}");
            assert!((own_variation / variation - 1.0).abs() < 0.03, "{gaps:?}: {own_variation}");
        }
    }

    #[test]
    fn the_smallest_shapes_of_the_data_give_gaps_as_well() {
        let mut rng = generator(1, 1);
        for shape in [0.012, 19.9] {
            for gaps in [Gaps::Gamma { shape, scale: 80.0 }, Gaps::Weibull { shape, scale: 1.0 }] {
                assert!((0..1_000).all(|_| gaps.draw_s(&mut rng) >= 0.0), "{gaps:?}");
            }
        }
    }
}
