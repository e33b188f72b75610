"""Pages opened in headless Chromium, with the console and the network watched."""

from contextlib import contextmanager

DRAWN = "() => document.querySelectorAll('.chart .main-svg').length > 0"


@contextmanager
def opened(chromium, path, scheme="light", width=1200, charts=True):
    """A page that must neither complain nor ask for anything but itself."""
    # Scrolling is smooth otherwise, and a test would point at where something was.
    page = chromium.new_page(
        color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )
    # A busy machine is slow to lay out 5 MB of charts; that is not what is tested.
    page.set_default_timeout(60_000)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.on(
        "dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}") or dialog.dismiss()
    )
    page.goto(path.as_uri())
    if charts:
        page.wait_for_function(DRAWN)
    yield page
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    page.close()
