"""The ONNX operators that a network may have.

They are those of networks for images in inference, as PyTorch, Keras and scikit-learn export them.
Left out are operators for control flow, random numbers, text, sequences, audio and training, and
those whose output has a shape that depends on the values of its input.
"""

from __future__ import annotations

_ARITHMETIC = """Abs Add BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Clip CumProd
CumSum Div Einsum Erf Exp Floor Log Max Mean Min Mod Mul Neg Pow Reciprocal Round Sign Sqrt Sub Sum
"""
_TRIGONOMETRY = "Acos Acosh Asin Asinh Atan Atanh Cos Cosh Sin Sinh Tan Tanh"
_LOGIC = "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Where Xor"
_ACTIVATIONS = """Celu Elu Gelu HardSigmoid HardSwish Hardmax LeakyRelu LogSoftmax Mish PRelu Relu
Selu Shrink Sigmoid Softmax Softplus Softsign SwiGLU Swish ThresholdedRelu"""
_LAYERS = """Attention AveragePool BatchNormalization Conv ConvTranspose DeformConv Dropout GRU Gemm
GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization InstanceNormalization LRN LSTM
LayerNormalization LpNormalization LpPool MatMul MaxPool MeanVarianceNormalization RMSNormalization
RNN RotaryEmbedding"""
_REDUCTIONS = """ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
ReduceMin ReduceProd ReduceSum ReduceSumSquare TopK"""
_SHAPES = """BitCast Cast CastLike CenterCropPad Concat Constant ConstantOfShape DepthToSpace Expand
EyeLike Flatten Gather GatherElements GatherND GridSample Identity OneHot Pad Range Reshape Resize
ReverseSequence Scatter ScatterElements ScatterND Shape Size Slice SpaceToDepth Split Squeeze Tile
Transpose Trilu Unsqueeze Upsample"""
_QUANTISATION = """ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv
QLinearMatMul QuantizeLinear"""
_LEARN = """ArrayFeatureExtractor Binarizer FeatureVectorizer Imputer LabelEncoder LinearClassifier
LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble
TreeEnsembleClassifier TreeEnsembleRegressor ZipMap"""

STANDARD = frozenset(
    " ".join(
        (
            *(_ARITHMETIC, _TRIGONOMETRY, _LOGIC, _ACTIVATIONS, _LAYERS),
            *(_REDUCTIONS, _SHAPES, _QUANTISATION),
        )
    ).split()
)
"""Operators of the domain of ONNX itself."""

LEARN = frozenset(_LEARN.split())
"""Operators of the domain ``ai.onnx.ml``."""
