"""Build of the extension tls_requests._core. Everything else is in pyproject.toml.

Environment:
TLS_REQUESTS_DEBUG=1               asserts, -O0 -g3
TLS_REQUESTS_SANITIZE=address      (or thread) build with that sanitizer; run Python with its library preloaded
TLS_REQUESTS_WERROR=1              warnings are errors (CI)
PKG_CONFIG                         the pkg-config program
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
LAYERS = ["core", "crypto", "profile", "tls", "http", "http1", "http2", "net", "client", "python"]

# pkg-config name: packages of Debian, Fedora, Homebrew
NEEDS = {
    "libcrypto": ("libssl-dev", "openssl-devel", "openssl@3"),
    "libnghttp2": ("libnghttp2-dev", "libnghttp2-devel", "libnghttp2"),
    "libevent_core": ("libevent-dev", "libevent-devel", "libevent"),
    "libevent_pthreads": ("libevent-dev", "libevent-devel", "libevent"),
    "libbrotlidec": ("libbrotli-dev", "brotli-devel", "brotli"),
    "libzstd": ("libzstd-dev", "libzstd-devel", "zstd"),
    "libpsl": ("libpsl-dev", "libpsl-devel", "libpsl"),
    "zlib": ("zlib1g-dev", "zlib-devel", "zlib"),
}

WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wvla", "-Wformat=2", "-Wstrict-prototypes", "-Wmissing-prototypes"]


def switched_on(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def pkg_config(*arguments: str) -> list[str]:
    command = [os.environ.get("PKG_CONFIG", "pkg-config"), *arguments]
    return shlex.split(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def check_needs() -> None:
    """Stop with the names of the packages to install when a library is missing."""
    try:
        pkg_config("--version")
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit(
            "tls_requests: pkg-config is missing.\n"
            "  Debian, Ubuntu: apt-get install pkg-config\n"
            "  Fedora:         dnf install pkgconf-pkg-config\n"
            "  macOS:          brew install pkg-config"
        ) from None
    missing = []
    for name in NEEDS:
        try:
            pkg_config("--exists", name)
        except subprocess.CalledProcessError:
            missing.append(name)
    if missing:
        debian, fedora, brew = (" ".join(dict.fromkeys(NEEDS[name][i] for name in missing)) for i in range(3))
        raise SystemExit(
            f"tls_requests: libraries are missing: {', '.join(missing)}\n"
            f"  Debian, Ubuntu: apt-get install {debian}\n"
            f"  Fedora:         dnf install {fedora}\n"
            f"  macOS:          brew install {brew}"
        )


class BuildExtension(build_ext):
    """build_ext with the libraries looked for only when something is built, and objects compiled two at a time."""

    def build_extensions(self) -> None:
        check_needs()
        compile_args = ["-std=c11", "-fvisibility=hidden", "-D_GNU_SOURCE", *WARNINGS]
        link_args: list[str] = []
        if switched_on("TLS_REQUESTS_DEBUG"):
            compile_args += ["-O0", "-g3", "-UNDEBUG"]
        else:
            compile_args += ["-O2", "-g", "-DNDEBUG"]
        if switched_on("TLS_REQUESTS_WERROR"):
            compile_args.append("-Werror")
        sanitizer = os.environ.get("TLS_REQUESTS_SANITIZE")
        if sanitizer:
            kinds = "address,undefined" if sanitizer == "address" else sanitizer
            compile_args += [f"-fsanitize={kinds}", "-fno-omit-frame-pointer"]
            link_args += [f"-fsanitize={kinds}"]
        if sys.platform.startswith("linux"):
            link_args.append("-Wl,--exclude-libs,ALL")
        for extension in self.extensions:
            extension.extra_compile_args = compile_args + pkg_config("--cflags", *NEEDS)
            extension.extra_link_args = link_args + pkg_config("--libs", *NEEDS) + ["-lpthread", "-lm"]
        self.compile_in_parallel()
        super().build_extensions()

    def compile_in_parallel(self) -> None:
        """Let the compiler object run as many compilations at once as there are processors."""
        from concurrent.futures import ThreadPoolExecutor

        compiler = self.compiler
        if not hasattr(compiler, "_compile") or not hasattr(compiler, "_setup_compile"):
            return

        def compile_all(
            sources,
            output_dir=None,
            macros=None,
            include_dirs=None,
            debug=0,
            extra_preargs=None,
            extra_postargs=None,
            depends=None,
        ):
            macros, objects, extra_postargs, pp_opts, build = compiler._setup_compile(
                output_dir, macros, include_dirs, sources, depends, extra_postargs
            )
            cc_args = compiler._get_cc_args(pp_opts, debug, extra_preargs)

            def one(item):
                name, (source, extension) = item
                compiler._compile(name, source, extension, cc_args, extra_postargs, pp_opts)

            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                list(pool.map(one, build.items()))
            return objects

        compiler.compile = compile_all


def sources() -> list[str]:
    found = [path for layer in LAYERS for path in sorted((ROOT / "src" / layer).glob("*.c"))]
    return [str(path.relative_to(ROOT)) for path in found if not path.name.startswith("fuzz_")]


def headers() -> list[str]:
    return [
        str(path.relative_to(ROOT))
        for layer in LAYERS
        for kind in ("*.h", "*.inc", "*.def")
        for path in sorted((ROOT / "src" / layer).glob(kind))
    ]


setup(
    ext_modules=[
        Extension("tls_requests._core", sources=sources(), include_dirs=["src"], depends=headers(), language="c"),
    ],
    cmdclass={"build_ext": BuildExtension},
)
