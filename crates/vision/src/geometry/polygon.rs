//! Outlines.

/// How many pairs of edges are looked at before the question is left open: every pair of an outline of 10,000 edges, and of
/// the longest one that the limits allow those that are near each other.
const EDGE_PAIRS: u64 = 50_000_000;

/// The relative error of an orientation computed in doubles (Shewchuk, Adaptive Precision Floating-Point Arithmetic and
/// Fast Robust Geometric Predicates, section 4.1): below it the sign is not known, and three points count as collinear.
const ORIENTATION_ERROR: f64 = 4.0 * f64::EPSILON;

/// Whether an outline crosses itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Crossing {
    /// Nowhere.
    None,
    /// About there.
    At([f64; 2]),
    /// It is too long to be looked at.
    Unknown,
}

/// What the vertices enclose, in square pixels; where the outline crosses itself, parts count against each other.
pub(crate) fn area(polygon: &[[f64; 2]]) -> f64 {
    let Some(&[x, y]) = polygon.first() else { return 0.0 };
    // From the first vertex rather than the origin, so that far from it nothing is lost by subtraction.
    let turns = polygon
        .windows(2)
        .map(|edge| (edge[0][0] - x) * (edge[1][1] - y) - (edge[1][0] - x) * (edge[0][1] - y));
    turns.sum::<f64>().abs() / 2.0
}

/// Its length around.
pub(crate) fn perimeter(polygon: &[[f64; 2]]) -> f64 {
    edges(polygon).map(|[from, to]| (to[0] - from[0]).hypot(to[1] - from[1])).sum()
}

/// Whether two edges properly cross: each has the other's ends on its two sides. What only touches (a vertex on an edge, an
/// edge walked back and forth, a vertex that repeats) does not cross: outlines traced from masks do all of these.
pub(crate) fn crossing(polygon: &[[f64; 2]]) -> Crossing {
    let mut sweep: Vec<Edge> = edges(polygon).filter(|[from, to]| from != to).map(Edge::new).collect();
    if sweep.iter().any(|edge| !edge.ends.as_flattened().iter().all(|number| number.is_finite())) {
        return Crossing::Unknown;
    }
    sweep.sort_unstable_by(|one, other| one.left.total_cmp(&other.left));
    let mut looked_at = 0;
    let mut open: Vec<&Edge> = Vec::new();
    for edge in &sweep {
        looked_at += open.len() as u64;
        if looked_at > EDGE_PAIRS {
            return Crossing::Unknown;
        }
        open.retain(|other| other.right >= edge.left);
        if let Some(other) = open.iter().find(|other| edge.crosses(other)) {
            return Crossing::At(edge.meets(other));
        }
        open.push(edge);
    }
    Crossing::None
}

/// Its edges, the one that closes it too.
fn edges(polygon: &[[f64; 2]]) -> impl Iterator<Item = [[f64; 2]; 2]> {
    let next = polygon.iter().skip(1).chain(polygon.first());
    polygon.iter().zip(next).map(|(from, to)| [*from, *to])
}

#[derive(Debug)]
struct Edge {
    ends: [[f64; 2]; 2],
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Edge {
    fn new(ends: [[f64; 2]; 2]) -> Self {
        let [[x0, y0], [x1, y1]] = ends;
        Self { ends, left: x0.min(x1), right: x0.max(x1), top: y0.min(y1), bottom: y0.max(y1) }
    }

    fn crosses(&self, other: &Self) -> bool {
        let apart = self.top > other.bottom || other.top > self.bottom;
        !apart && self.divides(other) && other.divides(self)
    }

    /// Whether the other's ends are on the two sides of this edge's line.
    fn divides(&self, other: &Self) -> bool {
        let [from, to] = self.ends;
        side(from, to, other.ends[0]) * side(from, to, other.ends[1]) < 0
    }

    /// Where its line meets the other's.
    fn meets(&self, other: &Self) -> [f64; 2] {
        let [[x0, y0], [x1, y1]] = self.ends;
        let [[x2, y2], [x3, y3]] = other.ends;
        let along =
            ((x2 - x0) * (y3 - y2) - (y2 - y0) * (x3 - x2)) / ((x1 - x0) * (y3 - y2) - (y1 - y0) * (x3 - x2));
        [x0 + along * (x1 - x0), y0 + along * (y1 - y0)]
    }
}

/// On which side of the line a point is: 1, -1, or 0 where that is not certain.
fn side(from: [f64; 2], to: [f64; 2], point: [f64; 2]) -> i8 {
    let left = (to[0] - from[0]) * (point[1] - from[1]);
    let right = (to[1] - from[1]) * (point[0] - from[0]);
    let turn = left - right;
    let error = ORIENTATION_ERROR * (left.abs() + right.abs());
    i8::from(turn > error) - i8::from(turn < -error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::raster::Raster;
    use super::*;

    /// Every pair of edges, in whole numbers, where nothing is rounded.
    fn crosses_by_brute_force(polygon: &[[i64; 2]]) -> bool {
        let edge = |index: usize| (polygon[index], polygon[(index + 1) % polygon.len()]);
        let side = |(a, b): ([i64; 2], [i64; 2]), c: [i64; 2]| {
            ((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])).signum()
        };
        let divides = |one, other: ([i64; 2], [i64; 2])| side(one, other.0) * side(one, other.1) < 0;
        (0..polygon.len()).any(|i| (0..i).any(|j| divides(edge(i), edge(j)) && divides(edge(j), edge(i))))
    }

    fn on_grid() -> impl Strategy<Value = Vec<[i64; 2]>> {
        // A small grid, so that vertices repeat and edges overlap; a larger one, so that some outlines are simple.
        let vertices =
            |size: i64| proptest::collection::vec((0..size, 0..size).prop_map(|(x, y)| [x, y]), 0..7);
        prop_oneof![vertices(4), vertices(1000)]
    }

    fn real(polygon: &[[i64; 2]]) -> Vec<[f64; 2]> {
        polygon.iter().map(|[x, y]| [*x as f64, *y as f64]).collect()
    }

    /// A star around a centre: never crosses itself.
    fn star() -> impl Strategy<Value = Vec<[f64; 2]>> {
        proptest::collection::vec(2.0..18.0f64, 3..24).prop_map(|radii| {
            let count = radii.len() as f64;
            let vertex = |(index, radius): (usize, &f64)| {
                let (sine, cosine) = (std::f64::consts::TAU * index as f64 / count).sin_cos();
                [20.0 + radius * cosine, 20.0 + radius * sine]
            };
            radii.iter().enumerate().map(vertex).collect()
        })
    }

    proptest! {
        #[test]
        fn crossings_are_those_that_every_pair_shows(polygon in on_grid()) {
            let found = crossing(&real(&polygon)) != Crossing::None;
            prop_assert_eq!(found, crosses_by_brute_force(&polygon));
        }

        #[test]
        fn repeating_vertices_crosses_nothing(mut polygon in on_grid(), at in any::<prop::sample::Index>()) {
            let before = crossing(&real(&polygon)) != Crossing::None;
            if let Some(first) = polygon.first().copied() {
                let index = at.index(polygon.len());
                polygon.insert(index, polygon[index]);
                polygon.push(first);
            }
            prop_assert_eq!(crossing(&real(&polygon)) != Crossing::None, before);
        }

        #[test]
        fn a_star_is_simple_and_its_area_that_of_its_pixels(polygon in star()) {
            prop_assert_eq!(crossing(&polygon), Crossing::None);
            let pixels = Raster::of_polygon(40, 40, &polygon).area() as f64;
            prop_assert!((area(&polygon) - pixels).abs() <= perimeter(&polygon), "{} {pixels}", area(&polygon));
        }

        #[test]
        fn the_crossing_is_on_the_outline(polygon in on_grid()) {
            if let Crossing::At(point) = crossing(&real(&polygon)) {
                let near = edges(&real(&polygon)).any(|[from, to]| {
                    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
                    let along = ((point[0] - from[0]) * dx + (point[1] - from[1]) * dy) / (dx * dx + dy * dy);
                    let foot = [from[0] + along * dx, from[1] + along * dy];
                    (-1e-9..=1.0 + 1e-9).contains(&along) && (foot[0] - point[0]).hypot(foot[1] - point[1]) < 1e-6
                });
                prop_assert!(near);
            }
        }

        #[test]
        fn any_numbers_are_measured(points in proptest::collection::vec((any::<f64>(), any::<f64>()).prop_map(|(x, y)| [x, y]), 0..8)) {
            crossing(&points);
            area(&points);
            perimeter(&points);
        }
    }

    #[test]
    fn a_bow_tie_crosses_and_a_square_does_not() {
        let square = [[10.0, 10.0], [30.0, 10.0], [30.0, 30.0], [10.0, 30.0], [10.0, 10.0]];
        assert_eq!((crossing(&square), area(&square)), (Crossing::None, 400.0));
        let bow_tie = [[10.0, 10.0], [30.0, 30.0], [30.0, 10.0], [10.0, 30.0]];
        assert_eq!(crossing(&bow_tie), Crossing::At([20.0, 20.0]));
    }

    #[test]
    fn an_outline_that_is_all_long_edges_is_left_open() {
        let fan: Vec<_> = (0..50_000).map(|at| [f64::from(at % 2) * 1e6, f64::from(at)]).collect();
        assert_eq!(crossing(&fan), Crossing::Unknown);
    }
}
