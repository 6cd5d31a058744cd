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
mod tests;
