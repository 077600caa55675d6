"""Layers over packed columns: the texts of a batch stand behind one another in one matrix [columns, features].

`plan` works out where columns stand, `moves` takes them there, `convolution`, `pooling` and `ragged_linear` compute.
All have gradients of their own, fast and summed in a fixed order: libraries are made for batches of images of one
size. On a CPU they mind its caches, on a GPU they start few kernels.

**Why it is exact.** Behind the end of a text the padded matrix is zero. There, all columns of any layer are alike, and
equal to those of a text without a single character: the *constant* column of that layer. So the empty text `-` goes
along as the first row of every batch, and a column that a text lacks is a copy of its first column.

**An example.** Texts `abc` and `DEFGHIJ` (padded length 11), a convolution of kernel width 3 with pooling by 2, and one
of kernel width 2 without pooling. A text of n columns has ceil(n / 2) columns of its own behind the first layer, and
as many behind the second (at most 3, which is what the second leaves of 11 columns); the empty text keeps one.

Layer 1 reads the columns of each text and so many behind them that its last own window is whole. `.` is a zero column.
Windows of the pooling, in brackets, lie within one text; in the last one of each text, the kernel looks into the next:

    packed input      . . . .   a b c . . .   D E F G H I J . . .   . .
    text              - - - -   a a a a a a   D D D D D D D D D D   - -        Plan.row_of_column: -1, 0, 1
    column            0 1 2 3   0 1 2 3 4 5   0 1 2 3 4 5 6 7 8 9              Plan.place_in_row
    convolved        [* *|* *] [* *|* *|* *] [* *|* *|* *|* *|* *]
    pooled             0   1     2   3   4     5   6   7   8   9
                       -   x     a   a   x     D   D   D   D   x               x: spare

Layer 2 wants the own columns of each text and one more, into which its kernel looks. `moves.Move` says which pooled
column goes where, and where its gradient comes from:

    packed input       -  c   a  a  c   D  D  D  D   c                         c: a copy of the constant, column 0
    source             0  0   2  3  0   5  6  7  8   0
    is_constant        .  *   .  .  *   .  .  .  .   *
    pooled             0  1   2  3  4   5  6  7  8  9
    destination        0  .   2  3  .   5  6  7  8  .
    is_unused          .  *   .  .  *   .  .  .  .  *
    convolved         [-][x] [a][a][x] [D][D][D] [x]                           columns 0 to 8, no pooling

The fully connected layer reads three columns of each text. One more move brings the constant alone and then, for each
group of texts of similar lengths, as many columns as its longest text has:

    wanted             -   a  a  c   D  D  D
    source             0   2  3  0   5  6  7

**Shape suffixes** in this package, one letter an axis:

    N  packed columns     I  input features     K  positions of a kernel
    W  windows            O  output features    S  codes
"""
