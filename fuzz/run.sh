#!/bin/sh
# Runs each target for SECONDS (default 60). The corpus starts from the fixtures and, where present,
# the test data.
#   fuzz/run.sh [SECONDS] [TARGET...]
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -eq 0 ] || shift
targets=${*:-header zip labels native rle jpeg jpeg_ls jpeg2000 jpeg_xl}
data=${CTPIPE_TEST_DATA:-../shared/data}
fixtures=crates/ct/tests/fixtures

seed() {
    target=$1
    shift
    mkdir -p "fuzz/corpus/$target"
    for file in "$@"; do
        if [ -f "$file" ]; then cp "$file" "fuzz/corpus/$target/"; fi
    done
}
for target in header native; do
    seed $target "$fixtures"/*.dcm "$data"/odd/*.dcm "$data"/codecs/*.dcm "$data"/geometry/*/*.dcm
done
seed rle "$fixtures"/rle*.dcm
seed jpeg "$fixtures"/jpeg[0-9]*.dcm "$fixtures"/lossless*.dcm
seed jpeg_ls "$fixtures"/jpegls*.dcm "$fixtures"/jls*.dcm
seed jpeg2000 "$fixtures"/j2k*.dcm "$fixtures"/htj2k*.dcm
seed jpeg_xl "$fixtures"/jxl*.dcm
mkdir -p fuzz/corpus/zip fuzz/corpus/labels
printf 'study_uid,series_uid,pathology,age,sex,split,person\n1,2,0,54,F,train,a\n1;3;"1\n";;;;\n' > fuzz/corpus/labels/seed.csv
if command -v python3 >/dev/null; then
    (cd "$fixtures" && python3 -m zipfile -c "$OLDPWD/fuzz/corpus/zip/seed.zip" explicit.dcm rle.dcm)
fi
# RUSTC_BOOTSTRAP lets the stable compiler take the fuzzer's flags.
for target in $targets; do
    echo "== $target"
    case $target in labels) features="--features labels" ;; *) features= ;; esac
    # shellcheck disable=SC2086
    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz $features "$target" -- \
        -max_total_time="$seconds" -timeout=25 -rss_limit_mb=1024 -max_len=262144 -print_final_stats=0 -verbosity=0
done
