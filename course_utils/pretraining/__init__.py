"""How PhotoNet was made: the recipe, its data, and the card that says what came of it."""
