"""A module's nodes, accesses and places, in the compiler's offsets."""

from qi_pipeline.validation.syntax import parse_module, span_of


def test_nodes_of_a_type_come_in_source_order_the_outer_first() -> None:
    module = parse_module("a.b.c(d.e);\nf(() => g.h.i);\nj.k;\n")
    found = [
        module.text_of(node) for node in module.of_type("member_expression", "call_expression")
    ]
    assert found == ["a.b.c", "a.b", "d.e", "g.h.i", "g.h", "j.k", "a.b.c(d.e)", "f(() => g.h.i)"]
    assert module.of_type("class_declaration") == []


def test_texts_and_places_count_utf16_units() -> None:
    plain = parse_module('const e = "é";\nx.y;\n')
    paired = parse_module('const e = "😀";\nx.y;\n')
    for module, offset in ((plain, 15), (paired, 16)):
        (access,) = module.accesses
        assert module.text_of(access.node) == "x.y"
        assert (span_of(access.node)[0], access.offset) == (offset, offset + 2)
        assert module.position(access.offset) == (2, 3)


def test_accesses_are_those_whose_member_is_written_out() -> None:
    module = parse_module("a.b; a['c']; a[`d`]; a[e]; (a).f; a?.g;\n")
    assert [access.name for access in module.accesses] == ["b", "f", "g", "c", "d"]
