"""Searching by showing and saying: what appears, in which order, and what can be steered."""

import json
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Service
from tests.browser.steps import (
    a_plain_thing,
    address,
    chips,
    in_address,
    shown,
    wait_for_the_reranker,
)

TEXT = "the same but green"

# Notes when the parts of an answer first appear, from the first moment of the page.
TIMELINE = """
window.timeline = [];
const note = (what) => { if (window.timeline.at(-1) !== what) window.timeline.push(what); };
new MutationObserver(() => {
  if (document.querySelector('#intent .chip')) note('chips');
  if (document.querySelector('#results [data-image-id]')) note('cards');
  const said = document.querySelector('#scored')?.textContent ?? '';
  if (said.startsWith('scored')) note(said);
  if (document.querySelector('#order:not([hidden])')) note('re-ranked');
}).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
"""


@pytest.fixture
def thing(service: Service) -> dict[str, Any]:
    return a_plain_thing(service.catalogue)


def test_an_upload_is_understood_found_and_re_ranked(
    page: Page, service: Service, thing: dict[str, Any]
) -> None:
    picture = service.catalogue / thing["image"]
    page.add_init_script(TIMELINE)
    page.goto("/")
    page.locator("#file").set_input_files(picture)
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type(TEXT)
    page.get_by_role("button", name="Search", exact=True).click()
    wait_for_the_reranker(page)

    asked = {"modification_text": TEXT, "top_k": "12"}
    files = {"reference_image": ("a.jpg", picture.read_bytes())}
    answer = httpx.post(f"{service.url}/search", data=asked, files=files, timeout=60).json()
    assert shown(page) == [result["image_id"] for result in answer["results"]]
    assert thing["image_id"] not in shown(page)
    intent = answer["composition"]["intent"]
    for lane in ("preserve", "desired", "forbidden"):
        assert chips(page, lane) == intent[lane]
    assert "green" in chips(page, "desired")

    timeline = page.evaluate("timeline")
    seen = [timeline.index("chips"), timeline.index("cards"), timeline.index("re-ranked")]
    counts = [step for step in timeline if step.startswith("scored")]
    assert seen == sorted(seen)
    assert len(counts) >= 2
    assert timeline.index("cards") < timeline.index(counts[0])

    page.get_by_label("before the reranker").check()
    before = [int(rank) for rank in page.locator("#results .rank b").all_inner_texts()]
    assert before == list(range(1, 13))
    by_cosine = httpx.post(
        f"{service.url}/search", data=asked | {"rerank_depth": "0"}, files=files, timeout=60
    ).json()
    assert shown(page) == [result["image_id"] for result in by_cosine["results"]]


def test_a_chip_that_is_moved_or_removed_changes_the_query(
    page: Page, thing: dict[str, Any]
) -> None:
    page.goto(address(thing["image_id"], TEXT))
    wait_for_the_reranker(page)
    kind = thing["attributes"]["category"]
    assert kind in chips(page, "preserve")
    assert thing["attributes"]["setting"] in chips(page, "dropped")
    first = shown(page)

    page.locator("#lane-preserve").get_by_role("button", name=kind, exact=True).click()
    with page.expect_request("**/search/stream") as edited:
        page.get_by_role("menuitem", name="Make it unwanted").click()
    wait_for_the_reranker(page)
    assert kind in chips(page, "forbidden")
    assert kind not in chips(page, "preserve")
    sent = json.loads(in_address(page)["intent"])
    assert kind in sent["forbidden"]
    assert kind not in sent["target"]
    assert '"forbidden"' in (edited.value.post_data or "")
    expect(page.locator("#intent")).to_contain_text("as you edited it")
    assert shown(page) != first

    page.get_by_role("button", name=f"Remove {kind}").click()
    wait_for_the_reranker(page)
    assert kind not in chips(page, "forbidden")
    page.go_back()
    page.go_back()
    wait_for_the_reranker(page)
    assert "intent" not in in_address(page)
    assert shown(page) == first


def test_chips_can_be_dragged(page: Page, thing: dict[str, Any]) -> None:
    page.goto(address(thing["image_id"], TEXT))
    wait_for_the_reranker(page)
    setting = thing["attributes"]["setting"]
    page.locator("#lane-dropped .chip", has_text=setting).drag_to(page.locator("#lane-desired"))
    wait_for_the_reranker(page)
    assert setting in chips(page, "desired")
    assert json.loads(in_address(page)["intent"])["target"].endswith(setting)


def test_a_result_starts_a_chain_with_a_way_back(page: Page, thing: dict[str, Any]) -> None:
    page.goto(address(thing["image_id"], TEXT))
    wait_for_the_reranker(page)
    first = shown(page)
    page.get_by_role("button", name="Start from").nth(2).click()
    expect(page.locator("#text")).to_have_value("")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("make it striped")
    page.keyboard.press("Enter")
    wait_for_the_reranker(page)
    asked = in_address(page)
    assert asked["image_id"] == first[2]
    assert json.loads(asked["trail"]) == [[thing["image_id"], TEXT]]

    page.reload()  # the way back is part of the address
    wait_for_the_reranker(page)
    page.get_by_role("button", name="Back to ").click()
    wait_for_the_reranker(page)
    assert in_address(page) == {"image_id": thing["image_id"], "text": TEXT}
    assert shown(page) == first
    page.go_back()
    expect(page.locator("#text")).to_have_value("make it striped")


def test_an_address_holds_the_whole_query(page: Page, thing: dict[str, Any]) -> None:
    roles = {"target": "a green mug", "preserve": [], "desired": ["green", "mug"], "forbidden": []}
    wanted = {"category": ["mug", "teapot"], "price": {"lte": 90}}
    page.goto(address(thing["image_id"], TEXT, intent=roles, filter=wanted, rerank="off"))
    cards = page.locator("#results .card[data-image-id]")
    expect(cards.first).to_be_visible()
    expect(page.locator("#text")).to_have_value(TEXT)
    expect(page.locator("#rerank")).not_to_be_checked()
    expect(page.locator("[data-facet=category] .said")).to_have_text("mug, teapot")
    expect(page.locator("[data-facet=price] .said")).to_have_text("to 90")
    expect(page.locator("#target")).to_have_value("a green mug")
    expect(page.locator("#scoring")).to_be_hidden()
    for tags in page.locator("#results .tags").all_inner_texts():
        assert {"mug", "teapot"} & set(tags.split())
    held = in_address(page)
    assert (held["image_id"], held["text"], held["rerank"]) == (thing["image_id"], TEXT, "off")
    assert json.loads(held["intent"]) == roles
    assert json.loads(held["filter"]) == wanted


def test_old_addresses_still_work(page: Page, thing: dict[str, Any]) -> None:
    page.goto(address(thing["image_id"], TEXT, mode="union"))
    wait_for_the_reranker(page)
    expect(page.locator("#mode")).to_have_value("union")
    expect(page.locator("#intent")).to_be_hidden()


def test_filters_narrow_gallery_and_results(page: Page, thing: dict[str, Any]) -> None:
    page.goto("/")
    page.locator("summary", has_text="colour").click()
    page.get_by_label("blue", exact=True).check()
    page.locator("summary", has_text="price").click()
    page.get_by_label("at most").fill("60")
    page.get_by_label("at most").press("Enter")
    expect(page.locator("#gallery-end")).to_contain_text("pictures.")
    assert json.loads(in_address(page)["filter"]) == {"colour": ["blue"], "price": {"lte": 60}}
    page.get_by_role("button", name="Random").click()
    expect(page.locator("#reference")).to_be_visible()
    page.get_by_role("button", name="the same but").click()  # an example for this very picture
    wait_for_the_reranker(page)
    for tags in page.locator("#results .tags").all_inner_texts():
        assert "blue" in tags.split()
    page.get_by_role("button", name="No filter").click()
    wait_for_the_reranker(page)
    assert "filter" not in in_address(page)


def test_four_compositions_side_by_side(
    page: Page, service: Service, thing: dict[str, Any]
) -> None:
    page.goto(address(thing["image_id"], TEXT))
    wait_for_the_reranker(page)
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".few .picture")).to_have_count(24)
    for mode in ("intersection", "union", "text", "image"):
        asked = {
            "reference_image": {"image_id": thing["image_id"]},
            "modification_text": TEXT,
            "composition": mode,
            "top_k": 6,
            "rerank_depth": 0,
        }
        answer = httpx.post(f"{service.url}/search", json=asked, timeout=60).json()
        column = page.locator(f"[data-mode={mode}]")
        sources = [image.get_attribute("src") for image in column.locator("img").all()]
        assert sources == [result["thumbnail_url"] for result in answer["results"]]
        kind = thing["attributes"]["category"]
        right = [
            result["attributes"]["category"] == kind
            and result["attributes"]["colour"] == "green"
            and result["attributes"]["pattern"] == "plain"
            for result in answer["results"]
        ]
        expect(column.locator(".tick")).to_have_count(sum(right))


def test_in_a_comparison_nothing_is_offered_that_does_nothing(
    page: Page, thing: dict[str, Any]
) -> None:
    page.goto(address(thing["image_id"], TEXT, view="compare"))
    expect(page.locator(".few .picture")).to_have_count(24)
    for control in ("#mode", "#rerank", "#order", "#more"):
        expect(page.locator(control)).to_be_hidden()
    page.get_by_role("button", name="the same but").click()
    expect(page.locator("#compare-view .waiting")).to_have_count(0)
    assert in_address(page)["view"] == "compare"
    page.get_by_role("button", name="Results", exact=True).click()
    expect(page.locator("#mode")).to_be_visible()


def test_the_box_is_a_button_and_the_picture_can_be_taken_away(
    page: Page, service: Service, thing: dict[str, Any]
) -> None:
    page.on("filechooser", lambda _: None)  # from the start, lest a quick key is not met
    roles = {"target": "a green mug", "preserve": [], "desired": ["mug"], "forbidden": []}
    page.goto(address(thing["image_id"], TEXT, intent=roles))
    wait_for_the_reranker(page)
    expect(page.locator("#intent")).to_contain_text("as you edited it")
    page.get_by_role("button", name="Undo edits").click()
    wait_for_the_reranker(page)
    assert "intent" not in in_address(page)
    expect(page.locator("#intent")).not_to_contain_text("as you edited it")

    page.get_by_role("button", name="Take the picture away").click()
    expect(page.locator("#reference")).to_be_hidden()
    expect(page.locator("#intent")).to_be_hidden()
    expect(page.locator("#text")).to_have_value(TEXT)
    expect(page.locator("#gallery img").first).to_be_visible()
    assert in_address(page) == {"text": TEXT}
    box = page.get_by_role("button", name="Drop, paste or choose a picture")
    expect(box).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(service.catalogue / thing["image"])
    expect(page.locator("#reference")).to_be_visible()
    with page.expect_file_chooser():
        page.locator("#choose").click()


def test_words_that_are_not_searched_yet_stay_and_are_told_from_the_others(
    page: Page, thing: dict[str, Any]
) -> None:
    page.goto(address(thing["image_id"], TEXT))
    wait_for_the_reranker(page)
    page.locator("#text").fill("make it striped")
    hint = page.locator("#unsent")
    expect(hint).to_contain_text(f"Below is still “{TEXT}”")
    page.locator("#lane-dropped [aria-haspopup]").first.click()
    page.get_by_role("menuitem", name="Make it kept").click()
    wait_for_the_reranker(page)
    expect(page.locator("#text")).to_have_value("make it striped")
    expect(hint).to_be_visible()
    assert in_address(page)["text"] == TEXT
    page.locator("#text").press("Enter")
    wait_for_the_reranker(page)
    expect(hint).to_be_hidden()
    assert "intent" not in in_address(page)  # chips of other words
    assert "striped" in chips(page, "desired")


def test_an_upload_is_met_with_what_the_model_does_not_know(
    page: Page, service: Service, thing: dict[str, Any]
) -> None:
    page.goto("/")
    expect(page.locator("#facts")).to_contain_text("pictures")
    notice = page.locator("#notice-model")
    expect(notice).to_have_count(0)
    page.locator("#file").set_input_files(service.catalogue / thing["image"])
    expect(notice).to_contain_text("what it finds for a photograph means little")
    page.get_by_role("button", name="Put this notice away").click()
    expect(notice).to_have_count(0)
    page.locator("#file").set_input_files(service.catalogue / thing["image"])
    expect(page.locator("#reference")).to_be_visible()
    expect(notice).to_have_count(0)


def test_no_map_of_a_kind_where_the_encoder_is_not_known_to_tell(
    page: Page, thing: dict[str, Any]
) -> None:
    kind = thing["attributes"]["category"]
    page.goto(address(thing["image_id"], TEXT))
    wait_for_the_reranker(page)
    page.locator("#results .picture").first.click()
    dialog = page.locator("#why")
    dialog.get_by_role("radio", name=kind).check(force=True)
    expect(dialog.get_by_role("status")).to_contain_text(f"There is no map of “{kind}”")
    expect(dialog.locator("canvas.on")).to_have_count(0)


def test_why_a_picture_is_where_it_is(page: Page, thing: dict[str, Any]) -> None:
    page.goto(address(thing["image_id"], TEXT))
    wait_for_the_reranker(page)
    page.locator("#results .picture").first.click()
    dialog = page.locator("#why")
    expect(dialog).to_contain_text("Vector search")
    expect(dialog).to_contain_text("% yes")
    dialog.get_by_role("radio", name="green").check(force=True)
    expect(dialog.locator("canvas.on")).to_have_count(2)
    expect(dialog.get_by_role("status")).to_contain_text("“green” is seen")
    darkness = dialog.locator("canvas").last.evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
        ".filter((_, i) => i % 4 === 3)"
    )
    assert max(darkness) > 100  # where it is not
    assert min(darkness) < 20  # where it is
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_what_is_typed_is_completed_with_the_gallerys_words(page: Page, service: Service) -> None:
    page.goto("/")
    expect(page.locator("#facts")).to_contain_text("pictures")
    page.locator("#text").press_sequentially("make it st")
    options = page.locator(".suggestions").get_by_role("option")
    expect(options.first).to_be_visible()
    facets = httpx.get(f"{service.url}/gallery").json()["facets"]
    values = {value for facet in facets for value in facet["values"]}
    found = [option.evaluate("node => node.firstChild.textContent") for option in options.all()]
    assert set(found) == {value for value in values if value.startswith("st")}
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    expect(page.locator("#text")).to_have_value("make it st")


def test_a_picture_can_be_pasted_and_dropped(
    page: Page, service: Service, thing: dict[str, Any]
) -> None:
    page.goto("/")
    expect(page.locator("#facts")).to_contain_text("pictures")
    give = """async ([kind, url]) => {
      const blob = await (await fetch(url)).blob();
      const data = new DataTransfer();
      data.items.add(new File([blob], 'mine.jpg', { type: 'image/jpeg' }));
      const made = kind === 'paste'
        ? new ClipboardEvent(kind, { clipboardData: data, bubbles: true })
        : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
      document.querySelector('main').dispatchEvent(made);
    }"""
    for kind in ("paste", "drop"):
        before = page.locator("#reference").get_attribute("src")
        page.evaluate(give, [kind, f"/images/{thing['image_id']}"])
        expect(page.locator("#reference")).to_be_visible()
        expect(page.locator("#reference")).not_to_have_attribute("src", before or "nothing")
        expect(page.locator("#reference")).to_have_attribute("alt", "Reference image: mine.jpg")
