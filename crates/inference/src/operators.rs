//! The operators that are served, and how much work each may make.
//!
//! Left out on purpose: loops and subgraphs (Loop, If, Scan, RNNs), whose work depends on data; what draws random numbers;
//! what gives shapes that depend on data (NonZero, NonMaxSuppression, Unique) or that tract reckons otherwise than it
//! evaluates them (Range); text.

/// How the work of an operator is reckoned, in multiplications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// One for each element read or written.
    Elements,
    /// Each output times the inner dimension.
    Product,
    /// Each output times the weights of one output channel.
    Convolution,
    /// Each input times the weights of one input channel.
    Transposed,
    /// Each output times the window.
    Window,
    /// Each input times a sort's depth.
    Sort,
}

/// A sort of 2^32 elements compares each so often.
const SORT_DEPTH: u64 = 32;

/// How an operator is reckoned, if it is served.
pub(crate) fn work(operator: &str) -> Option<Work> {
    Some(match operator {
        "MatMul" | "Gemm" => Work::Product,
        "Conv" => Work::Convolution,
        "ConvTranspose" => Work::Transposed,
        "AveragePool" | "MaxPool" => Work::Window,
        "TopK" => Work::Sort,
        "Abs"
        | "Acos"
        | "Acosh"
        | "Add"
        | "And"
        | "ArgMax"
        | "ArgMin"
        | "Asin"
        | "Asinh"
        | "Atan"
        | "Atanh"
        | "BatchNormalization"
        | "Cast"
        | "Ceil"
        | "Celu"
        | "Clip"
        | "Concat"
        | "Constant"
        | "ConstantOfShape"
        | "Cos"
        | "Cosh"
        | "DepthToSpace"
        | "Div"
        | "Dropout"
        | "Elu"
        | "Equal"
        | "Erf"
        | "Exp"
        | "Expand"
        | "Flatten"
        | "Floor"
        | "Gather"
        | "GatherElements"
        | "GatherND"
        | "Gelu"
        | "GlobalAveragePool"
        | "GlobalMaxPool"
        | "Greater"
        | "GreaterOrEqual"
        | "GroupNormalization"
        | "HardSigmoid"
        | "HardSwish"
        | "Identity"
        | "InstanceNormalization"
        | "LayerNormalization"
        | "LeakyRelu"
        | "Less"
        | "LessOrEqual"
        | "Log"
        | "LogSoftmax"
        | "Max"
        | "Mean"
        | "Min"
        | "Mish"
        | "Mod"
        | "Mul"
        | "Neg"
        | "Not"
        | "OneHot"
        | "Or"
        | "PRelu"
        | "Pad"
        | "Pow"
        | "Reciprocal"
        | "ReduceL1"
        | "ReduceL2"
        | "ReduceLogSum"
        | "ReduceLogSumExp"
        | "ReduceMax"
        | "ReduceMean"
        | "ReduceMin"
        | "ReduceProd"
        | "ReduceSum"
        | "ReduceSumSquare"
        | "Relu"
        | "Reshape"
        | "Resize"
        | "Round"
        | "Selu"
        | "Shape"
        | "Sigmoid"
        | "Sign"
        | "Sin"
        | "Sinh"
        | "Slice"
        | "Softmax"
        | "Softplus"
        | "Softsign"
        | "SpaceToDepth"
        | "Split"
        | "Sqrt"
        | "Squeeze"
        | "Sub"
        | "Sum"
        | "Tan"
        | "Tanh"
        | "ThresholdedRelu"
        | "Tile"
        | "Transpose"
        | "Unsqueeze"
        | "Where"
        | "Xor" => Work::Elements,
        _ => return None,
    })
}

/// The work of one operator, at most; saturating, since what saturates is refused.
///
/// `window` is the product of a pool's kernel.
pub(crate) fn operations(work: Work, inputs: &[Vec<usize>], outputs: &[Vec<usize>], window: u64) -> u64 {
    let read: u64 = inputs.iter().map(|shape| elements(shape)).fold(0, u64::saturating_add);
    let written: u64 = outputs.iter().map(|shape| elements(shape)).fold(0, u64::saturating_add);
    let first = inputs.first().map_or(&[][..], Vec::as_slice);
    let per_channel = |weights: Option<&Vec<usize>>| {
        weights.map_or(1, |shape| elements(shape) / (shape.first().copied().unwrap_or(1).max(1) as u64))
    };
    // A transposed product has its inner dimension before the last: the longer of the two is at least it.
    let inner = first.iter().rev().take(2).copied().max().unwrap_or(1) as u64;
    let products = match work {
        Work::Elements => 0,
        Work::Product => written.saturating_mul(inner),
        Work::Convolution => written.saturating_mul(per_channel(inputs.get(1))),
        Work::Transposed => elements(first).saturating_mul(per_channel(inputs.get(1))),
        Work::Window => written.saturating_mul(window),
        Work::Sort => read.saturating_mul(SORT_DEPTH),
    };
    products.saturating_add(read).saturating_add(written)
}

/// The count of a shape's elements, saturating.
pub(crate) fn elements(shape: &[usize]) -> u64 {
    // A zero hides what is beside it, however large.
    if shape.contains(&0) {
        return 0;
    }
    shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_counted_as_they_are_made() {
        let count = |work, inputs: &[&[usize]], output: &[usize]| {
            let inputs: Vec<Vec<usize>> = inputs.iter().map(|shape| shape.to_vec()).collect();
            let moved = inputs.iter().map(|shape| elements(shape)).sum::<u64>() + elements(output);
            operations(work, &inputs, &[output.to_vec()], 9) - moved
        };
        assert_eq!(count(Work::Product, &[&[1, 64], &[64, 10]], &[1, 10]), 640);
        // 8 channels of 3x3x3 on 4x4 places.
        assert_eq!(count(Work::Convolution, &[&[1, 3, 8, 8], &[8, 3, 3, 3]], &[1, 8, 4, 4]), 8 * 16 * 27);
        assert_eq!(count(Work::Transposed, &[&[1, 3, 4, 4], &[3, 8, 2, 2]], &[1, 8, 8, 8]), 48 * 32);
        assert_eq!(count(Work::Window, &[&[1, 3, 9, 9]], &[1, 3, 3, 3]), 27 * 9);
    }

    #[test]
    fn what_is_beyond_counting_is_the_most_there_is() {
        assert_eq!(elements(&[usize::MAX, usize::MAX]), u64::MAX);
        assert_eq!(elements(&[usize::MAX, 0, usize::MAX]), 0);
        assert_eq!(operations(Work::Product, &[vec![usize::MAX, 2]], &[vec![usize::MAX]], 1), u64::MAX);
    }
}
