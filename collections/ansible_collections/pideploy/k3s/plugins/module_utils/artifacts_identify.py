# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a file is: a k3s binary of some architecture, a tarball of images, or neither; read from its first bytes."""

from __future__ import annotations

import re
import struct

from ansible_collections.pideploy.k3s.plugins.module_utils.artifacts_fetch import ArtifactError

__metaclass__ = type

ARCHITECTURES = ("amd64", "arm64", "armhf")
ANY = "any"

# ELF: e_machine (elf.h) -> (k3s's name, EI_CLASS it must come with)
_MACHINES = {62: ("amd64", 2), 183: ("arm64", 2), 40: ("armhf", 1)}
_OTHER_MACHINES = {3: "32-bit x86", 8: "MIPS", 20: "PowerPC", 21: "ppc64le", 22: "s390x", 243: "RISC-V"}
_OTHER_KINDS = (
    (b"MZ", "a Windows program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"\xca\xfe\xba\xbe", "a macOS program"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"!<arch>", "a Debian package or ar archive"),
)
# k3s's own names; the 32-bit tarball says "arm" where the binary says "armhf"
_IMAGES_NAME = re.compile(r"k3s-airgap-images-(amd64|arm64|arm)\.tar(?:\.zst|\.gz)?")


def node_arch(machine: str, userspace_bits: int) -> str | None:
    """The artifact's architecture for a node, from ``uname -m`` and the bits of its user space; None if k3s has none.

    The kernel decides: k3s is static and its images exist for arm64, so a 32-bit Raspberry Pi OS on a 64-bit kernel
    (the default on a Pi 4) takes arm64. armv6l (Pi 1, Zero) is not built (GOARM=7). 32-bit x86 is not built either.
    """
    if machine in ("x86_64", "amd64"):
        return "amd64" if userspace_bits != 32 else None
    if machine in ("aarch64", "arm64"):
        return "arm64"
    if machine.startswith(("armv7", "armv8")):
        return "armhf"
    return None


def images_arch(name: str) -> str | None:
    """The architecture in the name of an image tarball, or None when it is not named as k3s names them."""
    match = _IMAGES_NAME.fullmatch(name)
    return None if match is None else {"arm": "armhf"}.get(match.group(1), match.group(1))


def identify(path: str) -> tuple[str, str]:
    """Return ``(kind, arch)`` of a file: ``("binary", amd64|arm64|armhf|any)`` or ``("images", "")``.

    A program that starts with ``#!`` runs anywhere: architecture ``any``. A tarball's architecture is not in its
    first bytes: see :func:`images_arch`.

    :raises ArtifactError: it is none of these; the message says what it is instead.
    """
    try:
        with open(path, "rb") as handle:
            head = handle.read(512)
    except OSError as exc:
        raise ArtifactError("%s cannot be read: %s" % (path, exc.strerror or exc)) from exc
    if not head:
        raise ArtifactError("%s is empty" % path, "Fetch it again.")
    if head.startswith(b"\x7fELF"):
        return "binary", _elf_arch(path, head)
    if head.startswith(b"#!"):
        return "binary", ANY
    if head.startswith((b"\x28\xb5\x2f\xfd", b"\x1f\x8b")) or head[257:262] == b"ustar":
        return "images", ""
    for magic, what in _OTHER_KINDS:
        if head.startswith(magic):
            raise ArtifactError("%s is %s, not k3s for Linux" % (path, what))
    if re.match(rb"\s*<(!doctype|html|\?xml)", head, re.IGNORECASE):
        raise ArtifactError("%s is a web page, not k3s" % path,
                            "The download answered with an error page: fetch it again.")
    raise ArtifactError(
        "%s is neither a Linux program nor a tarball of images" % path,
        "Take k3s, k3s-arm64, k3s-armhf or k3s-airgap-images-ARCH.tar[.zst|.gz] from a k3s release.",
    )


def _elf_arch(path: str, head: bytes) -> str:
    if len(head) < 20:
        raise ArtifactError("%s is cut off: %d bytes of an ELF header" % (path, len(head)), "Fetch it again.")
    bits, order = head[4], head[5]
    kind, machine = struct.unpack("<HH" if order == 1 else ">HH", head[16:20])
    known, wanted_bits = _MACHINES.get(machine, ("", 0))
    if not known or order != 1:
        raise ArtifactError(
            "%s is built for %s; pideploy deploys to %s" % (
                path, _OTHER_MACHINES.get(machine, known or "ELF machine %d" % machine), ", ".join(ARCHITECTURES)),
        )
    if bits != wanted_bits:
        raise ArtifactError("%s has a damaged ELF header: %s in a %d-bit file" % (path, known, 32 * bits))
    if kind not in (2, 3):  # ET_EXEC, ET_DYN
        raise ArtifactError("%s is an object file or a core dump, not a program" % path)
    return known
