"""The feature that introduced each A64 instruction, as data (DDI 0487, C4 and the descriptions in C6 and C7).

Each line is ``mask value mnemonic``: an instruction word matches if its bits under the mask equal the value.
Instructions of the hint space are absent: without their feature they do nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

INSTRUCTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "FEAT_CRC32": "7fe0e000 1ac04000 crc32",
        "FEAT_AES": "ffffcc00 4e284800 aes",
        "FEAT_PMULL": "bfe0fc00 0ee0e000 pmull",
        "FEAT_SHA1": """
            ffe0cc00 5e000000 sha1
            fffffc00 5e280800 sha1h
            fffffc00 5e281800 sha1su1""",
        "FEAT_SHA256": """
            ffe0ec00 5e004000 sha256h
            ffe0fc00 5e006000 sha256su1
            fffffc00 5e282800 sha256su0""",
        "FEAT_SB": "ffffffff d50330ff sb",
        "FEAT_LSE": """
            3fa07c00 08a07c00 cas
            bfa07c00 08207c00 casp
            3f20fc00 38200000 ldadd
            3f20fc00 38201000 ldclr
            3f20fc00 38202000 ldeor
            3f20fc00 38203000 ldset
            3f20cc00 38204000 ldmax
            3f20fc00 38208000 swp""",
        "FEAT_RDM": """
            bf20fc00 2e008400 sqrdmlah
            bf20fc00 2e008c00 sqrdmlsh
            ff20fc00 7e008400 sqrdmlah
            ff20fc00 7e008c00 sqrdmlsh
            bf00d400 2f00d000 sqrdmlah
            ff00d400 7f00d000 sqrdmlah""",
        "FEAT_LOR": """
            3ffffc00 08df7c00 ldlar
            3ffffc00 089f7c00 stllr""",
        "FEAT_PAN": "fffff0ff d500409f msr pan",
        "FEAT_UAO": "fffff0ff d500407f msr uao",
        "FEAT_FP16": """
            ffe00000 1ee00000 fp16 scalar unless ffff7c00 1ee24000
            ffe0fc00 9ee00000 fp16 to integer
            7fe00000 1ec00000 fp16 fixed-point
            ffc00000 1fc00000 fmadd (half)
            9f60c400 0e400400 fp16 vector
            9f7e0c00 0e780800 fp16 vector
            df60c400 5e400400 fp16 scalar
            df7e0c00 5e780800 fp16 scalar
            ff7fcc00 5e30c800 fp16 pairwise
            bf7fcc00 0e30c800 fp16 across lanes
            bff8fc00 0f00fc00 fmov (half)
            bfc0b400 0f001000 fmla (half)
            9fc0f400 0f009000 fmul (half)
            ffc0b400 5f001000 fmla (half)
            dfc0f400 5f009000 fmul (half)
            9ff0fc00 0f10e400 scvtf (half)
            9ff0fc00 0f10fc00 fcvtzs (half)
            dff0fc00 5f10e400 scvtf (half)
            dff0fc00 5f10fc00 fcvtzs (half)""",
        "FEAT_DotProd": """
            9fe0fc00 0e809400 dot
            9fc0f400 0f80e000 dot""",
        "FEAT_FHM": """
            bf60fc00 0e20ec00 fmlal
            bf60fc00 2e20cc00 fmlal2
            bfc0b400 0f800000 fmlal
            bfc0b400 2f808000 fmlal2""",
        "FEAT_SHA512": """
            ffe0f800 ce608000 sha512h
            ffe0fc00 ce608800 sha512su1
            fffffc00 cec08000 sha512su0""",
        "FEAT_SHA3": """
            ffe08000 ce000000 eor3
            ffe08000 ce200000 bcax
            ffe0fc00 ce608c00 rax1
            ffe00000 ce800000 xar""",
        "FEAT_SM3": """
            ffe08000 ce400000 sm3ss1
            ffe0c000 ce408000 sm3tt
            ffe0f800 ce60c000 sm3partw""",
        "FEAT_SM4": """
            fffffc00 cec08400 sm4e
            ffe0fc00 ce60c800 sm4ekey""",
        "FEAT_BF16": """
            bfe0fc00 2e40fc00 bfdot
            bfc0f400 0f40f000 bfdot
            ffe0fc00 6e40ec00 bfmmla
            bfe0fc00 2ec0fc00 bfmlal
            bfc0f400 0fc0f000 bfmlal
            bffffc00 0ea16800 bfcvtn
            fffffc00 1e634000 bfcvt""",
        "FEAT_I8MM": """
            dfe0fc00 4e80a400 mmla
            ffe0fc00 4e80ac00 usmmla
            bfe0fc00 0e809c00 usdot
            bfc0f400 0f80f000 usdot
            bfc0f400 0f00f000 sudot""",
        "FEAT_PAuth": """
            ffff8000 dac10000 pac
            ffe0fc00 9ac03000 pacga
            fffff800 d71f0800 braa
            fffffbff d61f081f braaz
            fffff800 d73f0800 blraa
            fffffbff d63f081f blraaz
            fffffbff d65f0bff retaa
            fffffbff d69f0bff eretaa
            ff200400 f8200400 ldraa""",
        "FEAT_JSCVT": "fffffc00 1e7e0000 fjcvtzs",
        "FEAT_FCMA": """
            bf20e400 2e00c400 fcmla
            bf20ec00 2e00e400 fcadd
            bfc09400 2f401000 fcmla
            bfc09400 2f801000 fcmla""",
        "FEAT_LRCPC": "3ffffc00 38bfc000 ldapr",
        "FEAT_LRCPC2": "3f200c00 19000000 ldapur",
        "FEAT_FlagM": """
            fffff0ff d500401f cfinv
            ffe07c10 ba000400 rmif
            ffffbc1f 3a00080d setf""",
        "FEAT_FlagM2": """
            fffff0ff d500403f xaflag
            fffff0ff d500405f axflag""",
        "FEAT_DIT": "fffff0ff d503405f msr dit",
        "FEAT_SSBS2": "fffff0ff d503403f msr ssbs",
        "FEAT_FRINTTS": """
            ffbe7c00 1e284000 frint32z
            9fbfec00 0e21e800 frint32z""",
        "FEAT_MTE": """
            ffe0fc00 9ac01000 irg
            ffe0fc00 9ac01400 gmi
            dfe0fc00 9ac00000 subp
            bfc0c000 91800000 addg
            ffe00c00 d9200800 stg
            ffe00400 d9200400 stg
            ffa00c00 d9a00800 st2g
            ffa00400 d9a00400 st2g
            ffe00c00 d9600800 stzg
            ffe00400 d9600400 stzg
            ffe00c00 d9600000 ldg
            fec00000 68800000 stgp
            ffc00000 69000000 stgp""",
        "FEAT_MTE2": """
            fffff0ff d503409f msr tco
            fffffc00 d9200000 stzgm
            fffffc00 d9a00000 stgm
            fffffc00 d9e00000 ldgm""",
        "FEAT_XS": "fffff3ff d503323f dsb nxs",
        "FEAT_WFxT": """
            ffffffe0 d5031000 wfet
            ffffffe0 d5031020 wfit""",
        "FEAT_LS64": """
            fffffc00 f83fd000 ld64b
            fffffc00 f83f9000 st64b""",
        "FEAT_LS64_V": "ffe0fc00 f820b000 st64bv",
        "FEAT_LS64_ACCDATA": "ffe0fc00 f820a000 st64bv0",
        "FEAT_MOPS": "fb200c00 19000400 memory copy or set",
        "FEAT_HBC": "ff000010 54000010 bc.cond",
        "FEAT_NMI": "fffffeff d501401f msr allint",
        "FEAT_CSSC": """
            7ffff800 5ac01800 ctz
            7ffffc00 5ac02000 abs
            7fe0f000 1ac06000 max
            7ff00000 11c00000 max""",
        "FEAT_LRCPC3": """
            bfa0ec00 99000800 ldiapp
            bfbffc00 99800800 ldapr (post-index)
            3f200c00 1d000800 ldapur (SIMD)""",
        "FEAT_LSE128": """
            ff20fc00 19201000 ldclrp
            ff20fc00 19203000 ldsetp
            ff20fc00 19208000 swpp""",
        "FEAT_SYSREG128": "ffd00000 d5500000 mrrs",
        "FEAT_SYSINSTR128": "fff80000 d5480000 sysp",
        "FEAT_TME": """
            ffffffe0 d5233060 tstart
            ffffffe0 d5233160 ttest
            ffffffff d503307f tcommit
            ffe0001f d4600000 tcancel""",
        # From SVE and SME, which fill parts of the encoding space, only instructions that nearly every program with
        # them contains.
        "FEAT_SVE": """
            ff3ffc10 2518e000 ptrue
            fffff800 04bf5000 rdvl
            ffa0f800 04205000 addvl
            ff30fc00 0420e000 cnt
            ff20e400 25200400 while
            ffc0e010 85804000 ldr (vector)
            ffc0e010 e5804000 str (vector)
            fe10e000 a400a000 ld1
            fe10e000 e400e000 st1
            fe00e000 a4004000 ld1
            fe00e000 e4004000 st1""",
        "FEAT_SME": """
            fffff8ff d503407f smstart
            ffdf9c10 e1000000 ldr (ZA)
            fffff800 04bf5800 rdsvl
            ffffff00 c0080000 zero (ZA)""",
    }
)
"""By feature. ``unless`` precedes the mask and value of older instructions among them."""
