# shellcheck shell=bash
# A stand-in for the official Go image on a machine that reaches no image registry:
# the machine's own Go toolchain, a shell, and the modules that the build needs.

base_image_made=
build_options=()

# ensure_base_image SOURCE NAME makes the image NAME unless the machine has it.
ensure_base_image() {
	if docker image inspect "$2" >/dev/null 2>&1; then
		say "using the $2 that is here"
		return 0
	fi
	say "making a stand-in for $2"
	local dir=$work/base
	mkdir -p "$dir"/{bin,tmp,go,modules,usr/local}
	chmod 1777 "$dir/tmp"
	cp -a "$(go env GOROOT)" "$dir/usr/local/go"
	add_program "$dir" sh
	add_program "$dir" mkdir
	add_modules "$dir" "$1"
	tar -C "$dir" -c . | docker import \
		--change 'ENV PATH=/usr/local/go/bin:/bin GOPATH=/go GOTOOLCHAIN=local GOPROXY=file:///modules GOSUMDB=off' \
		- "$2" >/dev/null
	rm -rf "$dir"
	base_image_made=$2
	build_options=(--network none)
}

# add_program DIR NAME copies a program and the libraries that it is linked with.
add_program() {
	local program library
	program=$(readlink -f "$(command -v "$2")")
	cp "$program" "$1/bin/$2"
	ldd "$program" | { grep -o '/[^ ]*' || true; } | while read -r library; do
		mkdir -p "$1$(dirname "$library")"
		cp -L "$library" "$1$library"
	done
}

# add_modules DIR SOURCE puts the modules of go.mod there as files of a module
# proxy. They come from this machine's own module cache as far as it has them.
add_modules() {
	local cache=$1/module-cache here
	here=$(go env GOMODCACHE)/cache/download
	(cd "$2" && GOMODCACHE=$cache GOFLAGS=-modcacherw GOPROXY="file://$here,$(go env GOPROXY)" go mod download)
	cp -a "$cache/cache/download/." "$1/modules/"
	rm -rf "$cache"
}

# remove_base_image removes the stand-in and every image that was built on it,
# those of a build that failed included: they begin with its only layer.
remove_base_image() {
	[[ -n $base_image_made ]] || return 0
	local layer image
	layer=$(docker image inspect --format '{{index .RootFS.Layers 0}}' "$base_image_made") || return 0
	docker image rm "$base_image_made" >/dev/null 2>&1 || true
	for image in $(docker image ls --all --quiet --no-trunc); do
		if [[ $(docker image inspect --format '{{join .RootFS.Layers " "}}' "$image" 2>/dev/null) == "$layer"* ]]; then
			docker image rm --force "$image" >/dev/null 2>&1 || true
		fi
	done
}
