//! What readers and writers compute of outlines: the box around one, and its area.

use crate::Bounds;

/// The box around points; none around no point.
pub(crate) fn extent<'p>(points: impl Iterator<Item = &'p [f64; 2]>) -> Option<Bounds> {
    let around =
        |[x0, y0, x1, y1]: [f64; 4], [x, y]: &[f64; 2]| [x0.min(*x), y0.min(*y), x1.max(*x), y1.max(*y)];
    let nothing = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    let [x0, y0, x1, y1] = points.fold(nothing, around);
    let bounds = Bounds { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
    (bounds.width.is_finite() && bounds.height.is_finite()).then_some(bounds)
}

/// The area of an outline in square pixels, whichever way around it goes (the shoelace formula).
pub(crate) fn area(polygon: &[[f64; 2]]) -> f64 {
    let next = polygon.iter().cycle().skip(1);
    let twice: f64 = polygon.iter().zip(next).map(|([x0, y0], [x1, y1])| x0 * y1 - x1 * y0).sum();
    twice.abs() / 2.0
}
