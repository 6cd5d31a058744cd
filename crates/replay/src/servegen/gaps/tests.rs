//! Unit tests of `gaps`.

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
