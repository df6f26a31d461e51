#!/usr/bin/env bash
# Packs target/release/ctpipe with its manual, completions and licences.
# `.github/pack.sh NAME` makes NAME.tar.gz. The same program and commit give the same archive.
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1
program=target/release/ctpipe
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
to=$place/$name

install -D -m 755 "$program" "$to/bin/ctpipe"
"$program" man "$to/share/man/man1"
for shell in bash zsh fish; do
  mkdir -p "$to/completions"
  "$program" completions "$shell" > "$to/completions/ctpipe.$shell"
done
cp -R README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT pipeline.yaml schemas deploy examples \
  "$to"

# The crates' licences require that their texts are shipped with the program.
cargo tree --locked --edges normal --target "$(rustc -vV | sed -n 's/^host: //p')" --prefix none \
    --format '{p}' | awk '{ sub(/^v/, "", $2); print $1 "-" $2 }' | sort -u | while read -r crate; do
  for source in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$crate"; do
    if [ -d "$source" ]; then
      mkdir -p "$to/licenses/$crate"
      find "$source" -maxdepth 1 -type f \
        -iregex '.*/\(licen[sc]e\|copying\|copyright\|notice\|unlicense\).*' \
        -exec cp {} "$to/licenses/$crate" \;
      grep -m 1 '^license' "$source/Cargo.toml" > "$to/licenses/$crate/DECLARED" || true
    fi
  done
done

find "$to" -exec touch --no-dereference --date="@$(git log -1 --format=%ct)" {} +
tar --sort=name --owner=0 --group=0 --numeric-owner --directory "$place" --create "$name" | gzip -n \
  > "$name.tar.gz"
