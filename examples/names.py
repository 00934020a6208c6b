"""Names: the next letter from the last few, by way of a trained embedding.

python examples/names.py           the names below
python examples/names.py FILE      a text file, one name a line

X0 = rows of E at the tokens, side by side           dE = dX0 added into those rows
A_l = tanh(A_{l-1} W_l + b_l), softmax at the end    dZ_n = A_n - Y
dW_l = A_{l-1}ᵀ dZ_l,  db_l = Σ dZ_l                 reduction="sum": the products add up the samples themselves
"""

import sys

import numpy as np

import chainrule as cr

NAMES = """
    aaron abigail ada adam adele adrian agnes alan albert alexander alice alma amanda amber amelia amy andrea andrew
    angela ann anna anthony arthur audrey barbara beatrice benjamin bernard bertha betty brian bridget bruce caleb
    calvin camilla carl carla carmen carol caroline catherine cecilia charles charlotte chloe christian christine clara
    claire colin conrad cora daisy daniel daphne david deborah dennis diana dominic donald dora doris dorothy douglas
    edgar edith edmund edward edwin eleanor elena elias elinor elisa elizabeth ella ellen elsa emil emily emma eric
    erica ernest esther ethan eugene eva evelyn felix fiona flora florence frances francis frank frederick gabriel
    george georgia gerald gertrude gilbert grace graham gregory greta hannah harold harriet harry hazel heather helen
    henry herbert herman hilda hugh ida ingrid irene iris isaac isabel ivan ivy jack jacob james jane janet jasper jean
    jennifer jeremy jerome joan joel john jonas jonathan joseph joshua judith julia julian juliet june karen karl kate
    katherine kenneth kevin laura lauren laurence leah leo leonard leonora lewis lily linda lisa lois louis louise lucas
    lucia lucy luke lydia mabel madeline magnus marcus margaret maria marian marie marion mark martha martin mary
    matilda matthew maurice max maxine melanie michael mildred millicent miranda miriam monica nancy naomi natalie
    nathan neil nicholas nina nora norman oliver olivia oscar otto owen pamela patricia patrick paul paula pauline
    penelope peter philip phoebe rachel ralph raymond rebecca richard rita robert robin rodney roger roland rosa rose
    ruby rudolf rupert ruth samuel sandra sarah sebastian sheila sidney simon sonia sophia stella stephen stuart susan
    sylvia teresa theodora theodore theresa thomas timothy valentine valerie vera veronica victor victoria vincent viola
    violet virginia vivian walter wanda wendy wilfred william winifred zachary
""".split()  # noqa: SIM905 - easier to read than 280 quoted words
CONTEXT = 4


def windows(names: list[str], letters: str) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (m, CONTEXT) and the letter that follows (m,); token 0 stands before and after a name."""
    number = {letter: i + 1 for i, letter in enumerate(letters)}
    rows, following = [], []
    for name in names:
        tokens = [0] * CONTEXT + [number[letter] for letter in name] + [0]
        for end in range(CONTEXT, len(tokens)):
            rows.append(tokens[end - CONTEXT : end])
            following.append(tokens[end])
    return np.array(rows), np.array(following)


def invent(net: cr.Network, letters: str, rng: np.random.Generator) -> str:
    """A name, drawn letter by letter."""
    tokens = [0] * CONTEXT
    while (len(tokens) == CONTEXT or tokens[-1] != 0) and len(tokens) < 20:
        p = net.predict([tokens[-CONTEXT:]])[0].astype(float)
        tokens.append(int(rng.choice(len(p), p=p / p.sum())))
    return "".join(letters[t - 1] for t in tokens if t)


def main(file: str | None = None, epochs: int = 40) -> None:
    """Learn the names, and print how well those held out are foretold."""
    names = list(cr.data.read_names(file)) if file else list(NAMES)
    rng = np.random.default_rng(0)
    rng.shuffle(names)
    letters = "".join(sorted(set("".join(names))))
    tenth = len(names) // 10
    X_test, y_test = windows(names[:tenth], letters)
    X, y = windows(names[tenth:], letters)
    v = len(letters) + 1
    net = cr.Network(
        inputs=CONTEXT,
        layers=[cr.Embedding(v, 6, weights=0.5), cr.Dense(64, "tanh"), cr.Dense(v, "softmax")],
        loss="cross_entropy",
        reduction="sum",
    )
    print(net.program)
    chances = np.bincount(y, minlength=v) / len(y)
    by_frequency = -np.log(np.maximum(chances[y_test], 1e-9)).mean()
    net.fit(
        X,
        y,
        epochs=epochs,
        batch_size=64,
        optimizer=cr.Adam(cr.Cosine(0.003)),
        validation_data=(X_test, y_test),
        callbacks=[cr.EarlyStopping(patience=5)],
    )
    by_network = net.cost(X_test, y_test) / len(X_test)
    print(f"{len(names)} names, {len(X):,} letters; each letter of {tenth} names held out costs, in nats:")
    print(f"any letter {np.log(v):.3f}, by frequency {by_frequency:.3f}, this network {by_network:.3f}")
    print("new names:", ", ".join(invent(net, letters, rng) for _ in range(10)))


if __name__ == "__main__":
    main(*sys.argv[1:2])
